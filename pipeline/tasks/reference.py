"""Habits of the reference, a public write-up whose results are the targets of this benchmark."""

from typing import Any

import torch
from torch import Tensor

from pipeline.training.slices import whole

LEGEND = "Δw: sum of the absolute gradients of the embedding, before clipping"


def delta_w(model: Any) -> dict[str, Tensor]:
    """The reference's measure of a step: the sum of the absolute gradients of the embedding."""
    return {"delta_w": whole(model.embedding.weight.grad).abs().sum()}


def mean_of_batch_means(values: Tensor) -> Tensor:
    """The reference's mean of (N,) values: over batches of 32 in file order, of which the last is
    smaller."""
    return torch.stack([part.mean() for part in values.split(32)]).mean()
