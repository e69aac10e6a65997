"""What is collected, and its comparison with the reference's logs in numbers."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from benchmarks.reference_run import FOLDER
from pipeline import yaml_file
from pipeline.paths import PARAMS, REPORTS, read_json, require
from pipeline.reporting import targets
from pipeline.reproduction import PROFILES
from pipeline.yaml_file import flatten

LOGGED = 100  # last lines of the reference's log of BERT, and steps of GPT
CLOSING = 10  # last lines, for the end of a falling curve
ACCURACY = 1e-4  # the reference's accuracies have four decimals


@dataclass(frozen=True)
class Collected:
    """One model: its trainings, and their curves with a column `seed`."""

    name: str
    parameters: dict[str, Any]
    trainings: list[dict[str, Any]]
    curve: pd.DataFrame
    evaluations: pd.DataFrame | None

    @property
    def seeds(self) -> list[int]:
        """The random seeds."""
        return [training["seed"] for training in self.trainings]

    def of(self, seed: int) -> pd.DataFrame:
        """The curve of one seed."""
        return self.curve[self.curve["seed"] == seed]

    def metrics(self, key: str) -> list[float]:
        """A final metric of each seed."""
        return [training["metrics"][key] for training in self.trainings]

    def parameter(self, key: str) -> Any:
        """The model's own value of a key, as `train.steps`, or the shared one."""
        own = f"{self.name}.{key}"
        return self.parameters[own if own in self.parameters else key]

    def changes(self) -> list[str]:
        """The parameters that are not those of the profile `reference`."""
        base = flatten(yaml_file.read(PARAMS))
        base |= flatten(yaml_file.read(PROFILES / "reference.yaml"))
        for key in ("threads", "device"):  # of the machine
            del base[key]
        # A model's own value may be the shared one in the profile.
        shared = {key: key.removeprefix(f"{self.name}.") for key in self.parameters}
        return [
            f"{key}={value}"
            for key, value in self.parameters.items()
            if base.get(key, base.get(shared[key], value)) != value
        ]


def load(name: str) -> Collected:
    """The collected model `name`.

    Raises:
        UserError: it is not collected.
    """
    command = f"./run python -m benchmarks.reference_run collect {name}"
    content = read_json(require(FOLDER / f"{name}.json", command))
    evaluations = FOLDER / f"{name}-evaluations.csv"
    return Collected(
        name,
        **content,
        curve=pd.read_csv(FOLDER / f"{name}.csv"),
        evaluations=pd.read_csv(evaluations) if evaluations.exists() else None,
    )


def other_runs() -> pd.DataFrame:
    """Other public runs of the same exercise, from their logs."""
    return pd.read_csv(REPORTS / "reference" / "other_runs.csv")


def target(name: str, which: str) -> float:
    """A result of the reference, from targets.yaml."""
    return next(t.value for t in targets.load()[name].targets if t.name == which)


def prediction_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Where a run with another seed is expected, with 95% probability, if results are normally
    distributed over seeds (Student's t); None for one seed."""
    count = len(values)
    if count == 1:
        return None
    width = stats.t.ppf(0.975, count - 1) * statistics.stdev(values) * (1 + 1 / count) ** 0.5
    mean = statistics.fmean(values)
    return mean - width, mean + width


def reproduced(value: float, values: Sequence[float]) -> bool | None:
    """Whether the reference's value is in the prediction interval; None for one seed."""
    interval = prediction_interval(values)
    return interval and interval[0] <= value <= interval[1]


def masked(gpt: Collected, mask: str, text: str, metric: str) -> list[float]:
    """GPT's loss of each seed, with one mask, on ten batches or on whole texts."""
    return [
        row[metric]
        for training in gpt.trainings
        for row in training["masks"]
        if (row["mask"], row["text"]) == (mask, text)
    ]


def constant_epochs(accuracies: pd.Series, always: dict[str, float]) -> int:
    """How many accuracies are those of predicting always the same class."""
    return sum(any(abs(a - b) < ACCURACY for b in always.values()) for a in accuracies)
