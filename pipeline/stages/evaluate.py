"""evaluate: models/<name> on the whole held-out split, with samples of what it does."""

from pipeline import models, records, tracking
from pipeline.objectives import build as build_objective
from pipeline.params import Params
from pipeline.paths import data_dir, model_dir, results_dir, write_json
from pipeline.training import device as devices
from pipeline.training.clock import Clock
from pipeline.training.history import write_csv


def evaluate(params: Params, name: str) -> None:
    """Write evaluation.json and samples of the trained model `name`, and continue its run."""
    device = devices.prepare(params)
    objective = build_objective(name, params, data_dir(name), device)
    model, _ = models.load(model_dir(name))
    model.to(device)
    clock = Clock()
    with clock.measure("evaluate"):
        figures = objective.evaluate(model)
        samples = objective.samples(model)
        predictions = objective.predictions(model)
    results = results_dir(name)
    write_json(figures, results / "evaluation.json")
    write_json(samples, results / "samples.json")
    if predictions:
        write_csv(predictions, results / "confusion.csv")
    print(f"{name}: " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    trained = records.read("train", name, model_dir(name) / models.WEIGHTS) or {}
    with tracking.Tracker("evaluate", name, params, trained.get("mlflow_run_id")) as tracker:
        tracker.metrics({f"test/{key}": value for key, value in figures.items()})
        tracker.artifact(results / "samples.json")
        records.write(
            "evaluate",
            name,
            results / "evaluation.json",
            {
                "seconds": dict(clock.seconds),
                "device": devices.name(device),
                "mlflow_run_id": tracker.run_id,
                "mlflow_experiment_id": tracker.experiment_id,
            },
        )
