"""What the stages of one model left, read back."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline import records
from pipeline.paths import data_dir, model_dir, predictions_dir, read_json, results_dir


@dataclass(frozen=True)
class Result:
    """Everything about one trained model.

    data: meta.json of `prepare`. figures: of training and evaluation, by name.
    history, validation: a row a step, and a row an evaluation. samples: see `Objective.samples`.
    training, evaluation: the records of how the figures came about; None where there are none.
    """

    name: str
    data: dict[str, Any]
    figures: dict[str, Any]
    history: pd.DataFrame
    validation: pd.DataFrame
    samples: Any
    training: dict[str, Any] | None
    evaluation: dict[str, Any] | None


def load(name: str) -> Result:
    """The result of the model `name`, from the outputs of its stages."""
    made = predictions_dir(name)
    summary = read_json(model_dir(name) / "summary.json")
    return Result(
        name,
        read_json(data_dir(name) / "meta.json"),
        summary | read_json(made / "figures.json"),
        pd.read_csv(results_dir(name) / "history.csv"),
        pd.read_csv(results_dir(name) / "validation.csv"),
        read_json(made / "samples.json"),
        records.read("train", name, model_dir(name) / "model.safetensors"),
        records.read("evaluate", name, made / "figures.json"),
    )
