"""How large a model is and what a training step costs, before running it."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers; a tied weight counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def flops_per_step(
    model: nn.Module, inputs: Tensor, head_inputs: Mapping[str, Tensor] | None = None
) -> int:
    """Floating-point operations of the forward and backward pass over one batch.

    Counts matrix products and attention (a multiply-add is two operations), which is what
    hardware peaks are quoted in; norms, activations and the optimizer are left out. The model
    is copied to torch's meta device, where shapes flow and nothing is computed.

    inputs, head_inputs: a batch as `Transformer.forward` takes it; only shapes matter.
    """
    meta = copy.deepcopy(model).to("meta").train()
    with FlopCounterMode(display=False) as counter:
        given = {key: tensor.to("meta") for key, tensor in (head_inputs or {}).items()}
        logits = meta(inputs.to("meta"), head_inputs=given)
        logits.backward(torch.empty_like(logits))
    return counter.get_total_flops()
