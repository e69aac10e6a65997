"""What the training loop asks of an objective; nothing else differs between the three models."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline import models
from pipeline.training.randomness import generator
from transformer import Transformer

# Tensors by name, each with the examples of the batch along its first dimension.
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Measure:
    """How a figure is measured, as far as that is code and no parameter.

    Figures that are measured in other ways do not compare, whatever their names.

    split: which examples. dropout: whether it is on. mean_over: what the figure is the mean of.
    """

    split: str
    dropout: bool
    mean_over: str


class Objective(ABC):
    """A task: which model, which batches, which loss, which figures.

    unit, units_per_example: what throughput counts: "tokens" or "images".
    examples: size of the training split, in sequences or images.
    headline: which figures of `evaluate` people compare runs by.
    closing_steps: over how many of the last steps the closing figures are averaged.
    measures: how the figures are measured that a target may be about, by their names.
    watched: the figure of `validate` by which an evaluation is the best one.
    legend: what a reader of the log has to know of its lines; empty if nothing.
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
        """How many examples the first `steps` batches hold."""
        return steps * self.batch_size

    def weight(self, batch: Batch) -> int:
        """How many things the loss of `batch` is the mean of."""
        return len(next(iter(batch.values())))

    def generator(self, stream: str, *counters: int) -> torch.Generator:
        """The generator of a named random stream at the given counters."""
        return generator(self.seed, stream, *counters)

    @property
    @abstractmethod
    def model_config(self) -> dict[str, Any]:
        """How to build the model: see `pipeline.models.build`."""

    def build_model(self) -> Transformer:
        """The model with its initial weights."""
        return models.build(self.model_config, self.generator("initialization"))

    @abstractmethod
    def training_batch(self, step: int) -> Batch:
        """The batch of a step; the same step always gives the same batch."""

    @abstractmethod
    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        """The arguments of `Transformer.forward` for a batch."""

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and figures to log; scalars that stay on the device."""

    @abstractmethod
    def validate(self, model: Any) -> dict[str, float]:
        """Figures that training watches, each on a fixed set: `watched`, and all that a target is
        about, as `evaluate` measures them."""

    @abstractmethod
    def evaluate(self, model: Any) -> dict[str, float]:
        """Final figures over the whole held-out split, and the trivial baselines."""

    @abstractmethod
    def samples(self, model: Any) -> Any:
        """What the model does with a few held-out examples, for a person to read; as JSON."""

    def predictions(self, model: Any) -> list[dict[str, str]]:
        """A row per held-out example, where there is one thing to predict. None by default."""
        return []

    @abstractmethod
    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        """A line of the log in the reference's own format.

        rows: the steps since the last line.
        """

    @abstractmethod
    def evaluation_line(self, validation: dict[str, float]) -> str:
        """A line of the log on an evaluation, from its figures."""


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch in `parts` micro-batches along the examples."""
    chunks = zip(*(tensor.chunk(parts) for tensor in batch.values()), strict=True)
    return (dict(zip(batch, chunk, strict=True)) for chunk in chunks)
