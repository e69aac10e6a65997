"""The cost of a training step."""

from typing import Any

from pipeline.parameters.base import Training
from pipeline.training import optimizers
from pipeline.training.muon import Muon
from pipeline.training.task import Task
from transformer import Transformer


def flops_per_step(model: Transformer, task: Task[Any], settings: Training) -> int:
    """Floating-point operations of a training step: forward and backward pass, and Muon's matrix
    products, which are not small beside them if the batch is small.

    See `transformer.flops_per_step` for what counts.
    """
    muons = (o for o in optimizers.build(model, settings) if isinstance(o, Muon))
    return task.flops_per_step(model) + sum(muon.flops_per_step() for muon in muons)
