"""Reads the outputs of the stages of one model."""

import statistics
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline import records
from pipeline.paths import (
    data_dir,
    model_dir,
    prediction_dir,
    predictions_dir,
    read_json,
)


@dataclass(frozen=True)
class Training:
    """One trained model, with one seed.

    figures: metrics of training and evaluation, by name.
    record: how it was made; None if another machine made it.
    history, evaluations: one row per step, and one per evaluation during training.
    """

    seed: int
    figures: dict[str, Any]
    record: dict[str, Any] | None
    history: pd.DataFrame
    evaluations: pd.DataFrame


@dataclass(frozen=True)
class Result:
    """All results of one model, trained once for each seed.

    data: meta.json of `prepare`. measures: how metrics are measured, see `objectives.base.Measure`.
    figures: as in Training, as means over the seeds.
    samples: of the first seed; see `Objective.samples`.
    predictions: of a classifier, one row per seed and test image: seed, actual, predicted.
    """

    name: str
    data: dict[str, Any]
    measures: dict[str, dict[str, Any]]
    trainings: list[Training]
    figures: dict[str, Any]
    samples: Any = None
    predictions: pd.DataFrame | None = None

    def values(self, key: str) -> list[float]:
        """A metric for each seed."""
        return [training.figures[key] for training in self.trainings]


def load(name: str, seeds: list[int]) -> Result:
    """The result of the model `name`, from the outputs of its stages."""
    trainings = []
    for seed in seeds:
        folder, made = model_dir(name, seed), prediction_dir(name, seed)
        figures = read_json(folder / "summary.json") | read_json(made / "figures.json")
        record = records.read("train", f"{name}-{seed}", folder / "model.safetensors")
        curves = (pd.read_csv(folder / f"{kind}.csv") for kind in ("history", "validation"))
        trainings.append(Training(seed, figures, record, *curves))
    answers = predictions_dir(name) / "predictions.csv"
    return Result(
        name,
        read_json(data_dir(name) / "meta.json"),
        read_json(predictions_dir(name) / "measures.json"),
        trainings,
        mean_of([training.figures for training in trainings]),
        read_json(prediction_dir(name, seeds[0]) / "samples.json"),
        # The name of a class may be NA, or 007.
        pd.read_csv(answers, dtype=str, keep_default_na=False) if answers.exists() else None,
    )


def mean_of(all_figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Values that are equal for all seeds, and means of numbers that differ."""
    mean = {}
    for key, first in all_figures[0].items():
        values = [figures[key] for figures in all_figures]
        if all(value == first for value in values):
            mean[key] = first
        elif isinstance(first, int | float):
            mean[key] = statistics.fmean(values)
    return mean
