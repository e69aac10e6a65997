"""What the training loop asks of an objective; nothing else differs between the three models."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pipeline import models
from pipeline.training.randomness import generator
from transformer import Transformer

# Tensors by name, each with the examples of the batch along its first dimension.
Batch = dict[str, Tensor]


class Objective(ABC):
    """A task: which model, which batches, which loss, which figures.

    unit, units_per_example: what throughput counts: "tokens" or "images".
    examples: size of the training split, in sequences or images.
    headline: which figures of `evaluate` people compare runs by.
    closing_steps: over how many of the last steps the final training loss is averaged.
    """

    unit: str
    units_per_example: int
    examples: int
    headline: tuple[str, ...]
    closing_steps = 100

    def __init__(self, seed: int, device: torch.device, batch_size: int):
        self.seed = seed
        self.device = device
        self.batch_size = batch_size

    def examples_seen(self, steps: int) -> int:
        """How many examples the first `steps` batches hold."""
        return steps * self.batch_size

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
        """Figures on the fixed validation set that training watches; at least "loss"."""

    @abstractmethod
    def evaluate(self, model: Any) -> dict[str, float]:
        """Final figures over the whole held-out split, and the trivial baseline."""

    @abstractmethod
    def samples(self, model: Any) -> Any:
        """What the model does with a few held-out examples, for a person to read; as JSON."""

    def predictions(self, model: Any) -> list[dict[str, str]]:
        """A row per held-out example, where there is one thing to predict. None by default."""
        return []

    @abstractmethod
    def line(self, step: int, rows: list[dict[str, float]], validation: dict | None) -> str:
        """A line of the log in the reference's own format.

        rows: the steps since the last line; validation: the figures of this step, if any.
        """


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch in `parts` micro-batches along the examples."""
    chunks = zip(*(tensor.chunk(parts) for tensor in batch.values()), strict=True)
    return (dict(zip(batch, chunk, strict=True)) for chunk in chunks)
