"""The number of parameters of a model and the FLOPs of a training step, without running it."""

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from transformer.selection import Selection


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters; a tied weight counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def flops_per_step(
    model: nn.Module, inputs: Tensor, keep: Selection | None = None, **encode_inputs: Tensor
) -> int:
    """Floating-point operations of the forward and backward pass over one batch.

    Counts matrix products and attention (a multiply-add is two operations), as hardware peaks are
    quoted; norms, activations and the optimizer are left out. The model is copied to torch's meta
    device, which propagates shapes without computing.

    inputs: (B, T) tokens or (B, channels, H, W) images.
    keep, encode_inputs: see `Transformer.forward`. Of all, only the shapes matter.
    """
    meta = copy.deepcopy(model).to("meta").train()
    with FlopCounterMode(display=False) as counter:
        others = {key: tensor.to("meta") for key, tensor in encode_inputs.items()}
        logits = meta(inputs.to("meta"), keep=keep, **others)
        logits.backward(torch.empty_like(logits))
    return counter.get_total_flops()
