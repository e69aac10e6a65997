"""The results of one model, read from the outputs of its stages."""

import statistics
from dataclasses import field
from typing import Annotated, Any

import pandas as pd
from pydantic import ConfigDict, Field, computed_field
from pydantic.dataclasses import dataclass

from pipeline.curves import EVALUATIONS, STEPS
from pipeline.paths import WEIGHTS, model_dir, prediction_dir, read_json
from pipeline.running import records

# A field that metrics.json does not have.
UNWRITTEN = Field(exclude=True, repr=False)


@dataclass(config=ConfigDict(arbitrary_types_allowed=True))
class Training:
    """One trained model, with one seed.

    metrics: of training and evaluation, by name.
    record: how it was made; None if another machine made it.
    history, evaluations: one row per step, and one per evaluation during training.
    """

    seed: int
    metrics: dict[str, Any]
    record: dict[str, Any] | None
    history: Annotated[pd.DataFrame, UNWRITTEN] = field(default_factory=pd.DataFrame)
    evaluations: Annotated[pd.DataFrame, UNWRITTEN] = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Moment:
    """A step of a training, and the cost up to then.

    units: that the model has seen, such as tokens. flops: floating-point operations.
    seconds: of training, without evaluations; None without a record. at_most: whether this is the
    first evaluation, so that the target may have been reached earlier.
    """

    step: int
    units: int
    flops: int
    seconds: float | None
    at_most: bool = False


@dataclass(config=ConfigDict(arbitrary_types_allowed=True))
class Result:
    """All results of one model, trained once for each seed: a part of metrics.json.

    task: by its name. data: meta.json of `prepare`.
    measures: how metrics are measured, see `training.task.Measure`.
    time_to_target: when each seed first reached each target, see `reporting.time_to_target`.
    samples: of the first seed; see `View.samples`.
    predictions: of a classifier, one row per seed and test image: seed, actual, predicted.
    """

    name: str
    task: str
    data: dict[str, Any]
    measures: dict[str, dict[str, Any]]
    trainings: list[Training]
    time_to_target: dict[str, list[Moment | None]] = field(default_factory=dict)
    samples: Annotated[Any, UNWRITTEN] = None
    predictions: Annotated[pd.DataFrame | None, UNWRITTEN] = None

    @computed_field
    @property
    def metrics(self) -> dict[str, Any]:
        """Values that are equal for all seeds, and means of numbers that differ."""
        mean = {}
        for key, first in self.trainings[0].metrics.items():
            values: list[Any] = [training.metrics.get(key) for training in self.trainings]
            if all(value == first for value in values):
                mean[key] = first
            elif None not in values and isinstance(first, int | float):
                mean[key] = statistics.fmean(values)
        return mean

    @computed_field
    @property
    def one_class_only(self) -> list[int]:
        """Seeds for which a classifier always predicts the same class: it has learnt nothing."""
        return [each.seed for each in self.trainings if each.metrics.get("classes_predicted") == 1]

    def values(self, key: str) -> list[Any]:
        """A metric for each seed."""
        return [training.metrics[key] for training in self.trainings]


def load(name: str, task: str, seeds: list[int]) -> Result:
    """The result of the model `name`, from the outputs of its stages."""
    trainings = []
    for seed in seeds:
        folder, made = model_dir(name, seed), prediction_dir(name, seed)
        metrics = read_json(folder / "summary.json") | read_json(made / "metrics.json")
        record = records.read("train", f"{name}-{seed}", folder / WEIGHTS)
        curves = (pd.read_csv(folder / file) for file in (STEPS, EVALUATIONS))
        trainings.append(Training(seed, metrics, record, *curves))
    first = prediction_dir(name, seeds[0])
    answers = [prediction_dir(name, seed) / "predictions.csv" for seed in seeds]
    # The name of a class may be NA, or 007.
    tables = [
        pd.read_csv(file, dtype=str, keep_default_na=False) for file in answers if file.exists()
    ]
    return Result(
        name,
        task,
        read_json(first / "data.json"),
        read_json(first / "measures.json"),
        trainings,
        samples=read_json(first / "samples.json"),
        predictions=pd.concat(tables, ignore_index=True) if tables else None,
    )
