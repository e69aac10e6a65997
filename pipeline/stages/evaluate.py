"""evaluate: models/<name> on the whole held-out split, with samples of what it does."""

from pipeline import models, records, tracking
from pipeline.objectives import build as build_objective
from pipeline.params import Params
from pipeline.paths import (
    data_dir,
    model_dir,
    predictions_dir,
    require,
    results_dir,
    write_json,
)
from pipeline.training import device as devices
from pipeline.training.clock import Clock
from pipeline.training.history import write_csv


def evaluate(params: Params, name: str) -> None:
    """Write figures and samples of the trained model `name`, and continue its MLflow run.

    Raises:
        UserError: its data is not prepared, or it is not trained.
    """
    data = require(data_dir(name), f"dvc repro prepare@{name}")
    folder = require(model_dir(name), f"dvc repro train@{name}")
    device = devices.prepare(params)
    objective = build_objective(name, params, data, device)
    model, _ = models.load(folder)
    model.to(device)
    clock = Clock()
    with clock.measure("evaluate"):
        figures = objective.evaluate(model)
        samples = objective.samples(model)
        predictions = objective.predictions(model)
    made = predictions_dir(name)
    write_json(figures, made / "figures.json")
    write_json(samples, made / "samples.json")
    if predictions:
        write_csv(predictions, made / "predictions.csv")
    # Under the model's name: DVC's tables then have columns such as bert.loss.
    headline = {name: {key: figures[key] for key in objective.headline}}
    write_json(headline, results_dir(name) / "metrics.json")
    print(f"{name}: " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    trained = records.read("train", name, folder / models.WEIGHTS) or {}
    with tracking.Tracker("evaluate", name, params, trained.get("mlflow_run_id")) as tracker:
        tracker.metrics({f"test/{key}": value for key, value in figures.items()})
        tracker.folder(made, "predictions")
        records.write(
            "evaluate",
            name,
            made / "figures.json",
            {
                "seconds": dict(clock.seconds),
                "device": devices.name(device),
                "mlflow_run_id": tracker.run_id,
                "mlflow_experiment_id": tracker.experiment_id,
            },
        )
