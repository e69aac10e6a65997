"""The interface between the training loop and a task; everything else is equal for all tasks."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from pipeline.parameters.base import ModelSection
from pipeline.training.processes import ONE, Processes
from pipeline.training.randomness import generator
from transformer import Transformer, flops_per_step

# Tensors by name, each with the examples of the batch along its first dimension.
Batch = dict[str, Tensor]
S = TypeVar("S", bound=ModelSection)


@dataclass(frozen=True)
class Measure:
    """How a metric is measured, where code and not a parameter determines it.

    Metrics are comparable only if they are measured in the same way.

    split: which examples. dropout: whether it is on. mean_over: what the mean is taken over.
    """

    split: str
    dropout: bool
    mean_over: str


class Task(ABC, Generic[S]):
    """What a model learns: its data, batches, loss, metrics, and all that the loop reads.

    unit, units_per_example: unit of throughput, one of `curves.UNITS`, and how many per example.
    examples: size of the training split, in sequences, images or words.
    steps_per_epoch: batches in which each example occurs about once.
    headline: the metrics of `evaluate` for comparing runs.
    step_metrics: the metrics of a step: the loss and those that `loss` returns beside it.
    closing_steps: number of last steps over which the closing metrics are averaged.
    final: the metrics of the last step that the summary has.
    measures: how each metric with a possible target is measured, by its name.
    watched: the metric of `validate` that determines the best evaluation: the lowest one.
    legend: explains the lines of the log; may be empty.
    processes: which share the training, and the work of evaluations in it.

    section: of params.yaml. seed: of the training. data: folder of the prepared data.
    """

    unit: str
    units_per_example: int
    examples: int
    steps_per_epoch: int
    headline: tuple[str, ...]
    step_metrics: tuple[str, ...] = ("loss",)
    closing_steps: int = 100
    final: tuple[str, ...] = ("loss",)
    measures: ClassVar[dict[str, Measure]]
    watched: str = "loss"
    legend: str = ""
    processes: Processes = ONE

    def __init__(self, section: S, seed: int, data: Path, device: torch.device):
        self.section = section
        self.seed = seed
        self.device = device
        self.batch_size: int = section.train.batch_size

    @staticmethod
    @abstractmethod
    def work(section: Any, meta: dict[str, Any]) -> float:
        """Approximate FLOPs of a whole training, without building it: six for each weight and
        token (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1).

        meta: of the prepared data.
        """

    def examples_seen(self, steps: int) -> int:
        """The number of examples in the first `steps` batches."""
        return steps * self.batch_size

    def weight(self, batch: Batch) -> int:
        """The number of items over which the loss of `batch` is averaged."""
        return len(next(iter(batch.values())))

    def generator(self, stream: str, *counters: int) -> torch.Generator:
        """The random generator of a named stream at the given counters."""
        return generator(self.seed, stream, *counters)

    def sharing(self, dropout: bool) -> Processes:
        """The processes that share an evaluation. With dropout they do not, because its random
        numbers follow one another: each of them computes the whole."""
        shape = self.section.architecture
        rates = (shape.dropout, shape.embedding_dropout, shape.mlp_dropout)
        return ONE if dropout and any(rates) else self.processes

    @abstractmethod
    def build_model(self) -> Transformer:
        """The model with its initial weights, drawn from the stream "initialization"."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0: a pure function of the seed and the step."""

    def micro_batches(self, step: int, count: int) -> Iterator[Batch]:
        """The batch of a step in `count` parts."""
        batch = self.batch(step)
        chunks = zip(*(tensor.chunk(count) for tensor in batch.values()), strict=True)
        return (dict(zip(batch, chunk, strict=True)) for chunk in chunks)

    @abstractmethod
    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        """The arguments of `Transformer.forward` for a batch."""

    def flops_per_step(self, model: Transformer) -> int:
        """The floating-point operations of a training step: see `transformer.flops_per_step`."""
        return flops_per_step(model, **self.model_inputs(self.batch(0)))

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and metrics to log: scalars on the device."""

    def gradient_metrics(self, model: Any) -> dict[str, Tensor]:
        """Metrics of the gradients of a step, before clipping, to log: scalars on the device."""
        return {}

    @abstractmethod
    def validate(self, model: Any) -> dict[str, float]:
        """Metrics during training: `watched`, and all metrics with targets. One that `evaluate`
        has too is measured in the same way, on the same data: MLflow shows both as one curve."""

    @abstractmethod
    def evaluate(self, model: Any) -> dict[str, float]:
        """Final metrics over the whole held-out split, and trivial baselines."""

    @abstractmethod
    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        """A line of the log.

        rows: the steps since the last line.
        """

    @abstractmethod
    def evaluation_line(self, validation: dict[str, float]) -> str:
        """A line of the log with the metrics of an evaluation."""


def block_weights(section: ModelSection, read: float = 1.0) -> float:
    """The number of weights in the matrices of the blocks that a token meets, for `Task.work`.

    read: the share of the tokens that the head reads; see `transformer.selection`.
    """
    shape = section.architecture
    projection, mlp = shape.d_model**2, 2 * shape.d_model * shape.d_mlp
    return shape.n_layer * (4 * projection + mlp) - (1 - read) * (projection + mlp)
