"""Builds the optimizers and assigns parameters to them."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch
from torch import nn

from pipeline.parameters.base import Training
from pipeline.training.eager import Adam, AdamW
from pipeline.training.muon import Muon
from pipeline.training.slices import is_slice
from transformer import Transformer
from transformer.attention import StackedLinear


def build(model: Transformer, settings: Training) -> list[torch.optim.Optimizer]:
    """The optimizers of `settings.optimizer`; each parameter belongs to exactly one.

    Muon gets the matrices of the blocks, also of an encoder's. Embeddings and heads stay with
    AdamW, as Muon's author advises for a network's first and last layers; a stem of images,
    whatever its layers, is an embedding.

    Weight decay applies to all parameters of an optimizer, as in torch.
    """
    if settings.optimizer == "muon":
        stacks = [model.blocks] + ([model.encoder.blocks] if model.encoder else [])
        hidden = [p for blocks in stacks for p in blocks.parameters() if p.ndim == 2]
        modules = [module for blocks in stacks for module in blocks.modules()]
        stacked = [m for m in modules if isinstance(m, StackedLinear)]
        fused = [m.weight for m in stacked]
        rest = _without(model.parameters(), hidden)
        optimizers = [
            Muon(
                [
                    {"params": _without(hidden, fused)},
                    *(
                        {"params": [m.weight for m in stacked if m.parts == parts], "parts": parts}
                        for parts in sorted({m.parts for m in stacked})
                    ),
                ],
                lr=settings.matrix_lr,
                weight_decay=settings.weight_decay,
            ),
            _adam(AdamW, rest, settings),
        ]
    else:
        kind = {"adam": Adam, "adamw": AdamW}[settings.optimizer]
        optimizers = [_adam(kind, list(model.parameters()), settings)]
    assert_exact_cover(model, optimizers)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def assert_exact_cover(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
    """Assert that each parameter of the model belongs to exactly one optimizer."""
    moved = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    assert len(moved) == len(set(moved)), "a parameter belongs to two optimizers"
    assert set(moved) == set(model.parameters()), "a parameter belongs to no optimizer"


def set_lr(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every group to its base learning rate times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def _adam(kind: type, parameters: list[nn.Parameter], settings: Training) -> Any:
    # torch updates the tensors of a group at once, and does not mix slices with whole ones.
    groups = [{"params": list(group)} for _, group in groupby(parameters, is_slice)]
    return kind(
        groups,
        lr=settings.lr,
        betas=tuple(settings.betas),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def _without(parameters: Any, excluded: Iterable[torch.Tensor]) -> list[nn.Parameter]:
    drop = set(excluded)
    return [p for p in parameters if p not in drop]
