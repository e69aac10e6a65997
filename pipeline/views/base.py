"""The interface between a task's view and the stages, the report and MLflow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # it imports pandas, which evaluations do not need
    from pipeline.results import Result


TRAINING, HELD_OUT = "#1f5fa8", "#cc6d16"  # colours of curves
PICTURES = "pictures"  # folder of the pictures, beside the report


@dataclass(frozen=True)
class Curve:
    """A line for one metric of the evaluations. label: its name in the legend."""

    metric: str
    label: str
    color: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    curves: ours; a target for the metric has the same colour.
    minimised: the metric of each step to show behind them, if any.
    reference: columns of the reference's curves, with label and line style.
    baseline: our metric of a model that knows only frequencies.
    """

    ylabel: str
    curves: tuple[Curve, ...]
    reference: tuple[tuple[str, str, str], ...]
    baseline: str
    minimised: str | None = None
    limits: tuple[float, float] | None = None


class View(ABC):
    """What a reader sees of a task.

    family: the usual name of such a model. known: what a trivial baseline knows the frequencies of.
    drawn: the title of the learning curves, after the model's. panels: the learning curves.
    rows: labels of the metrics in the report, by name.
    """

    family: str
    known: str
    drawn: str
    panels: tuple[Panel, ...]
    rows: ClassVar[dict[str, str]]

    def title(self, name: str) -> str:
        """The title of the model `name`: 'BERT large' of bert_large."""
        family, *rest = name.split("_")
        return " ".join([self.family, *rest]) if family == self.family.lower() else name

    @abstractmethod
    def samples(self, task: Any, model: Any) -> Any:
        """The model's predictions for a few held-out examples, for people to read; as JSON."""

    def predictions(self, task: Any, model: Any) -> list[dict[str, str]]:
        """One row for each held-out example of a classifier; empty by default."""
        return []

    def pictures(self, result: Result) -> dict[str, Callable[[Any], None]]:
        """Pictures besides the learning curves: by the end of the file's name, a function that
        draws one into a figure."""
        return {}

    @abstractmethod
    def shown(self, result: Result) -> str:
        """The samples, in Markdown."""

    def notes(self, result: Result, judged: bool) -> list[str]:
        """How to read the metrics of a model: points in Markdown, without their dashes.

        judged: whether there are verdicts on the model.
        """
        return []

    @abstractmethod
    def answering(self, artifacts: dict[str, Path]) -> Callable[[Any], list[Any]]:
        """A function from the input of the model in MLflow to its answers.

        artifacts: `model`, the folder of a trained model; `meta` and `tokenizer`, files of its
            data.
        """

    def image_shape(self, meta: dict[str, Any]) -> tuple[int, int, int] | None:
        """(C, H, W) of the images that the model in MLflow takes; None if it takes strings.

        meta: of the data.
        """
        return None

    @abstractmethod
    def export(self, name: str, folder: Path) -> tuple[str, str]:
        """Write the trained model `name` for Hugging Face; returns its class in transformers, and
        a page on how to use it.

        Raises:
            ValueError: no class of transformers computes the same.
        """


def language_model_panel(baseline: str, held_out: str) -> Panel:
    """The losses of a language model. held_out: what its held-out text is called."""
    ours = (
        Curve("train_loss", "training text, measured like the target", TRAINING),
        Curve("loss", f"{held_out} text", HELD_OUT),
    )
    reference = (("loss", "the reference: training batches", "-"),)
    return Panel("loss (nats)", ours, reference, baseline, minimised="loss")


def picture(result: Result, kind: str = "") -> str:
    """The file of a picture in the folder PICTURES. kind: the end of its name; empty for the
    learning curves."""
    return f"{result.name}{'-' if kind else ''}{kind}.png"
