"""aggregate: the curves and main metrics of a model as means over its seeds, for git and DVC."""

import shutil
import statistics
from typing import Any

from pipeline import provenance
from pipeline.curves import EVALUATIONS, STEPS, mean, read_csv, write_csv
from pipeline.params import Params
from pipeline.paths import (
    MODELS,
    PREDICTIONS,
    REPORTS,
    model_dir,
    prediction_dir,
    read_json,
    write_json,
)
from pipeline.wording import number, significant, wrapped


def aggregate(params: Params, name: str) -> None:
    """Write reports/<name>: history.csv, validation.csv and metrics.json.

    Raises:
        UserError: a model is not trained or not evaluated.
    """
    remove_unused(params)
    provenance.check_results(params, name)
    for file in (STEPS, EVALUATIONS):
        curves = [read_csv(model_dir(name, seed) / file) for seed in params.seeds]
        write_csv(mean(curves), REPORTS / name / file)
    made = [prediction_dir(name, seed) for seed in params.seeds]
    # The model's name as key gives DVC's tables columns such as bert.loss.
    metrics = headline([read_json(each / "metrics.json") for each in made],
                       read_json(made[0] / "headline.json"))  # fmt: skip
    write_json({name: metrics}, REPORTS / name / "metrics.json")
    if len(made) > 1:
        shown = [
            f"{key} {number(value)} (std {significant(metrics[f'{key}_std'], 2)})"
            for key, value in metrics.items()
            if not key.endswith("_std")
        ]
        print(wrapped(f"{name}, mean of {len(made)} seeds: {', '.join(shown)}"))


def headline(of_seeds: list[dict[str, Any]], keys: list[str]) -> dict[str, float]:
    """The metrics `keys` as means over the seeds; with several seeds also standard deviations."""
    found = {}
    for key in keys:
        values = [metrics[key] for metrics in of_seeds]
        found[key] = statistics.fmean(values)
        if len(values) > 1:
            found[f"{key}_std"] = statistics.stdev(values)
    return found


def remove_unused(params: Params) -> None:
    """Remove models and predictions of other models and seeds, from an earlier run: the folders
    above them are dependencies of this stage and of `report`."""
    seeds = {f"seed-{seed}" for seed in params.seeds}
    for folder in (MODELS, PREDICTIONS):
        for model in folder.glob("*/"):
            if model.name not in params.model_names:
                shutil.rmtree(model)
        for trained in folder.glob("*/seed-*"):
            if trained.name not in seeds:
                shutil.rmtree(trained)
