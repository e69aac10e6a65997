"""train: data/<name> to models/<name> and its curves."""

from typing import Any

from pipeline import models, records, tracking
from pipeline.objectives import build as build_objective
from pipeline.objectives.base import Objective
from pipeline.params import Params, Training
from pipeline.paths import data_dir, model_dir, read_json, require, results_dir, write_json
from pipeline.training import device as devices
from pipeline.training.checkpoint import Checkpoint, identity
from pipeline.training.history import History, Row, write_csv
from pipeline.training.loop import Plan
from pipeline.training.loop import train as run_loop
from transformer import Transformer, flops_per_step, parameter_count


def train(params: Params, name: str) -> None:
    """Train the model `name`, or go on where an interrupted training of the same stopped.

    Raises:
        UserError: its data is not prepared, another process trains it, or the training diverged.
    """
    data = require(data_dir(name), f"dvc repro prepare@{name}")
    device = devices.prepare(params)
    objective = build_objective(name, params, data, device)
    meta = read_json(data / "meta.json")
    config = objective.model_config
    model = objective.build_model()
    cost = flops_per_step(model, **objective.model_inputs(objective.training_batch(0)))
    settings = params.section(name).train
    key = identity(params, name, meta["fingerprint"])
    with Checkpoint(name, key) as checkpoint, tracking.Tracker("train", name, params) as tracker:
        tracker.params({"parameters": parameter_count(model), "flops_per_step": cost})
        tracker.data(meta)

        def publish(steps: list[Row], evaluations: list[Row]) -> None:
            tracker.series([_prefixed("train", row) for row in steps])
            tracker.series([_prefixed("validation", row) for row in evaluations])

        history, clock = run_loop(
            name, model.to(device), objective, settings, checkpoint, publish
        )
        write_csv(history.steps, results_dir(name) / "history.csv")
        write_csv(history.evaluations, results_dir(name) / "validation.csv")
        models.save(model, config, model_dir(name))
        summary = _summary(model, objective, settings, history, cost)
        write_json(summary, model_dir(name) / "summary.json")
        tracker.metrics({key: summary[key] for key in ("closing_loss", "best_validation_loss")})
        tracker.model(model_dir(name), data)
        records.write(
            "train",
            name,
            model_dir(name) / models.WEIGHTS,
            {
                "seconds": {k: round(v, 3) for k, v in clock.seconds.items()},
                "throughput": summary[objective.unit] / clock.seconds["train"],
                "unit": objective.unit,
                "device": devices.name(device),
                "threads": params.threads,
                "mlflow_run_id": tracker.run_id,
                "mlflow_experiment_id": tracker.experiment_id,
            },
        )
        checkpoint.remove()


def _prefixed(group: str, row: Row) -> Row:
    return {key if key == "step" else f"{group}/{key}": value for key, value in row.items()}


def _summary(
    model: Transformer,
    objective: Objective,
    settings: Training,
    history: History,
    flops_per_step: int,
) -> dict[str, Any]:
    """Size and cost of the training, and how it ended."""
    steps = Plan.of(settings, objective).steps
    examples = objective.examples_seen(steps)
    closing = history.steps[-objective.closing_steps :]
    best = min(history.evaluations, key=lambda row: row["loss"])
    summary = {
        "steps": steps,
        "batch_size": settings.batch_size,
        "examples": examples,
        "epochs": examples / objective.examples,
        "unit": objective.unit,
        objective.unit: examples * objective.units_per_example,
        "parameters": parameter_count(model),
        "flops_per_step": flops_per_step,
        "flops": flops_per_step * steps,
        "closing_steps": len(closing),
        "closing_loss": _mean(closing, "loss"),
        "final_loss": closing[-1]["loss"],
        "final_delta_w": closing[-1]["delta_w"],
        "best_validation_loss": best["loss"],
        "best_validation_step": best["step"],
    }
    if "accuracy" in closing[-1]:
        summary["closing_accuracy"] = _mean(closing, "accuracy")
    return summary


def _mean(rows: list[Row], key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)
