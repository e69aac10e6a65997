"""The number of parameters of a model and the FLOPs of a training step, without running it."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters; a tied weight counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def flops_per_step(
    model: nn.Module,
    inputs: Tensor,
    head_inputs: Mapping[str, Tensor] | None = None,
    **encode_inputs: Tensor,
) -> int:
    """Floating-point operations of the forward and backward pass over one batch.

    Counts matrix products and attention (a multiply-add is two operations), as hardware peaks are
    quoted; norms, activations and the optimizer are left out. The model is copied to torch's meta
    device, which propagates shapes without computing.

    inputs: (B, T) tokens or (B, channels, H, W) images.
    head_inputs, encode_inputs: see `Transformer.forward`. Of all, only the shapes matter.
    """
    meta = copy.deepcopy(model).to("meta").train()
    with FlopCounterMode(display=False) as counter:
        of_head, others = (
            {key: tensor.to("meta") for key, tensor in given.items()}
            for given in (head_inputs or {}, encode_inputs)
        )
        logits = meta(inputs.to("meta"), head_inputs=of_head, **others)
        logits.backward(torch.empty_like(logits))
    return counter.get_total_flops()
