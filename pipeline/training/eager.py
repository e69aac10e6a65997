"""Optimizers of torch without their wrappers for torch.compile.

The first call of such a wrapper imports torch._dynamo, which takes seconds, even if nothing is ever
compiled. These optimizers run outside of what `compile` compiles.
"""

from inspect import unwrap

import torch
from torch.optim import Optimizer


class Eager(Optimizer):
    """A base class to put before an optimizer of torch."""

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class Adam(Eager, torch.optim.Adam):
    """torch.optim.Adam."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class AdamW(Eager, torch.optim.AdamW):
    """torch.optim.AdamW."""

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
