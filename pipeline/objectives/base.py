"""The interface between the training loop and a task; the rest is equal for all three models."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline import models
from pipeline.training.randomness import generator
from transformer import Transformer, flops_per_step

# Tensors by name, each with the examples of the batch along its first dimension.
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Measure:
    """How a metric is measured, where code and not a parameter determines it.

    Metrics are comparable only if they are measured in the same way.

    split: which examples. dropout: whether it is on. mean_over: what the mean is taken over.
    """

    split: str
    dropout: bool
    mean_over: str


class Objective(ABC):
    """A task: model, batches, loss and metrics.

    unit, units_per_example: unit of throughput ("tokens" or "images"), and how many per example.
    examples: size of the training split, in sequences or images.
    headline: the metrics of `evaluate` for comparing runs.
    closing_steps: number of last steps over which the closing metrics are averaged.
    measures: how each metric with a possible target is measured, by its name.
    watched: the metric of `validate` that determines the best evaluation.
    legend: explains the lines of the log; may be empty.
    """

    unit: str
    units_per_example: int
    examples: int
    headline: tuple[str, ...]
    closing_steps = 100
    measures: ClassVar[dict[str, Measure]]
    watched = "loss"
    legend = ""

    def __init__(self, seed: int, device: torch.device, batch_size: int):
        self.seed = seed
        self.device = device
        self.batch_size = batch_size

    def examples_seen(self, steps: int) -> int:
        """The number of examples in the first `steps` batches."""
        return steps * self.batch_size

    def weight(self, batch: Batch) -> int:
        """The number of items over which the loss of `batch` is averaged."""
        return len(next(iter(batch.values())))

    def generator(self, stream: str, *counters: int) -> torch.Generator:
        """The random generator of a named stream at the given counters."""
        return generator(self.seed, stream, *counters)

    @property
    @abstractmethod
    def model_config(self) -> dict[str, Any]:
        """The configuration of the model: see `pipeline.models.build`."""

    def build_model(self) -> Transformer:
        """The model with its initial weights."""
        return models.build(self.model_config, self.generator("initialization"))

    @abstractmethod
    def training_batch(self, step: int) -> Batch:
        """The batch of a step; the same step always gives the same batch."""

    @abstractmethod
    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        """The arguments of `Transformer.forward` for a batch."""

    def flops_per_step(self, model: Transformer) -> int:
        """The floating-point operations of a training step: see `transformer.flops_per_step`."""
        return flops_per_step(model, **self.model_inputs(self.training_batch(0)))

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and metrics to log: scalars on the device."""

    @abstractmethod
    def validate(self, model: Any) -> dict[str, float]:
        """Metrics during training: `watched`, and all metrics with targets. One that `evaluate`
        has too is measured in the same way, on the same data: MLflow shows both as one curve."""

    @abstractmethod
    def evaluate(self, model: Any) -> dict[str, float]:
        """Final metrics over the whole held-out split, and trivial baselines."""

    @abstractmethod
    def samples(self, model: Any) -> Any:
        """The model's predictions for a few held-out examples, for people to read; as JSON."""

    def predictions(self, model: Any) -> list[dict[str, str]]:
        """One row for each held-out example of a classifier; empty by default."""
        return []

    @abstractmethod
    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        """A line of the log, in the reference's format.

        rows: the steps since the last line.
        """

    @abstractmethod
    def evaluation_line(self, validation: dict[str, float]) -> str:
        """A line of the log with the metrics of an evaluation."""


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """Split the batch into `parts` micro-batches."""
    chunks = zip(*(tensor.chunk(parts) for tensor in batch.values()), strict=True)
    return (dict(zip(batch, chunk, strict=True)) for chunk in chunks)
