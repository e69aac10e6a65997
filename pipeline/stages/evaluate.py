"""evaluate: compute the metrics of models/<name> on the whole held-out split, and samples."""

import shutil
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import models, provenance, records, tracking
from pipeline.objectives import build as build_objective
from pipeline.objectives.base import Objective
from pipeline.params import Params
from pipeline.paths import (
    data_dir,
    model_dir,
    prediction_dir,
    predictions_dir,
    read_json,
    require,
    results_dir,
    write_json,
)
from pipeline.training import device as devices
from pipeline.training.checkpoint import Checkpoint, identity
from pipeline.training.clock import Clock
from pipeline.training.history import write_csv
from pipeline.wording import number, significant, wrapped


def evaluate(params: Params, name: str) -> None:
    """Write metrics and samples of the trained model `name`, and add them to its MLflow runs.

    Raises:
        UserError: the data is not prepared, the model is not trained, or one of them was made with
            other data or parameters.
    """
    data = require(data_dir(name), f"dvc repro prepare@{name}")
    provenance.check_data(name, params.section(name).data)
    fingerprint = read_json(data / "meta.json")["fingerprint"]
    for seed in params.seeds:
        # Before anything is removed: after an error, the old figures are still there.
        provenance.check_model(name, require(model_dir(name, seed), f"dvc repro train@{name}"))
    shutil.rmtree(predictions_dir(name), ignore_errors=True)  # seeds of another run
    scored, predictions = [], []
    for seed in params.seeds:
        objective, figures, rows = _evaluate(params, name, seed, data)
        scored.append(figures)
        predictions += rows
        if len(params.seeds) > 1:
            line = ", ".join(f"{key} {number(figures[key])}" for key in objective.headline)
            print(wrapped(f"{name}, seed {seed}: {line}"))
        # dvc.lock has the training now, so its checkpoint is not needed any more.
        Checkpoint(name, identity(params, name, seed, fingerprint)).remove()
    if predictions:
        write_csv(predictions, predictions_dir(name) / "predictions.csv")
    # The model's name as key gives DVC's tables columns such as bert.loss.
    metrics, shown = {}, []
    for key in objective.headline:
        values = [figures[key] for figures in scored]
        metrics[key] = statistics.fmean(values)
        shown.append(f"{key} {number(metrics[key])}")
        if len(values) > 1:
            metrics[f"{key}_std"] = statistics.stdev(values)
            shown[-1] += f" (std {significant(metrics[f'{key}_std'], 2)})"
    write_json({name: metrics}, results_dir(name) / "metrics.json")
    which = f"{name}, mean of {len(scored)} seeds" if len(scored) > 1 else name
    print(wrapped(f"{which}: {', '.join(shown)}"))


def _evaluate(
    params: Params, name: str, seed: int, data: Path
) -> tuple[Objective, dict[str, float], list[dict[str, Any]]]:
    """Evaluate one seed; returns the objective, the metrics and the predictions."""
    folder, made = model_dir(name, seed), prediction_dir(name, seed)
    device = devices.prepare(params)
    objective = build_objective(name, params, seed, data, device)
    model, config = models.load(folder)
    provenance.check_architecture(name, config, objective.model_config)
    model.to(device)
    clock = Clock()
    with clock.measure("evaluate"):
        figures = objective.evaluate(model)
        samples = objective.samples(model)
        predictions = [{"seed": seed, **row} for row in objective.predictions(model)]
    write_json(figures, made / "figures.json")
    write_json(samples, made / "samples.json")
    measures = {figure: asdict(measure) for figure, measure in objective.measures.items()}
    write_json(measures, predictions_dir(name) / "measures.json")
    provenance.record_model(name, seed)
    trained = tracking.TrainedModel(params, name, seed)
    with trained.tracker("evaluate") as tracker:
        trained.restore(tracker)
        trained.log_evaluation(tracker)
    content = {"seconds": dict(clock.seconds), "device": devices.name(device)}
    records.write("evaluate", f"{name}-{seed}", made / "figures.json", content)
    return objective, figures, predictions
