"""Reads the outputs of the stages of one model."""

import statistics
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.curves import EVALUATIONS, STEPS
from pipeline.paths import WEIGHTS, model_dir, prediction_dir, read_json
from pipeline.running import records


@dataclass(frozen=True)
class Training:
    """One trained model, with one seed.

    metrics: metrics of training and evaluation, by name.
    record: how it was made; None if another machine made it.
    history, evaluations: one row per step, and one per evaluation during training.
    """

    seed: int
    metrics: dict[str, Any]
    record: dict[str, Any] | None
    history: pd.DataFrame
    evaluations: pd.DataFrame


@dataclass(frozen=True)
class Result:
    """All results of one model, trained once for each seed.

    task: by its name. data: meta.json of `prepare`.
    measures: how metrics are measured, see `training.task.Measure`.
    metrics: as in Training, as means over the seeds.
    samples: of the first seed; see `View.samples`.
    predictions: of a classifier, one row per seed and test image: seed, actual, predicted.
    """

    name: str
    task: str
    data: dict[str, Any]
    measures: dict[str, dict[str, Any]]
    trainings: list[Training]
    metrics: dict[str, Any]
    samples: Any = None
    predictions: pd.DataFrame | None = None

    def values(self, key: str) -> list[float]:
        """A metric for each seed."""
        return [training.metrics[key] for training in self.trainings]

    @property
    def one_class_only(self) -> list[int]:
        """Seeds for which a classifier always predicts the same class: it has learnt nothing."""
        return [each.seed for each in self.trainings if each.metrics.get("classes_predicted") == 1]


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
        mean_of([training.metrics for training in trainings]),
        read_json(first / "samples.json"),
        pd.concat(tables, ignore_index=True) if tables else None,
    )


def mean_of(all_metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Values that are equal for all seeds, and means of numbers that differ."""
    mean = {}
    for key, first in all_metrics[0].items():
        values = [metrics[key] for metrics in all_metrics]
        if all(value == first for value in values):
            mean[key] = first
        elif isinstance(first, int | float):
            mean[key] = statistics.fmean(values)
    return mean
