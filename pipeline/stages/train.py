"""train: data/<name> to models/<name>, its curves and a summary."""

import json
from typing import Any

from pipeline import models, records, tracking
from pipeline.objectives import build as build_objective
from pipeline.objectives.base import Objective
from pipeline.params import Params, Training
from pipeline.paths import data_dir, model_dir, results_dir, write_json
from pipeline.training import device as devices
from pipeline.training.checkpoint import Checkpoint, identity
from pipeline.training.history import History, Row, write_csv
from pipeline.training.loop import Plan, train as run_loop
from transformer import Transformer, flops_per_step, parameter_count


def train(params: Params, name: str) -> None:
    """Train the model `name`, or go on where an interrupted training of the same stopped."""
    device = devices.prepare(params)
    objective = build_objective(name, params, data_dir(name), device)
    meta = json.loads((data_dir(name) / "meta.json").read_text())
    config = objective.model_config
    model = models.build(config, objective.generator("initialization"))
    objective.prepare_model(model)
    cost = flops_per_step(model, **objective.model_inputs(objective.training_batch(0)))
    settings = params.section(name).train
    plan = Plan.of(settings, objective)
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
        models.save(model, config, model_dir(name))
        results = results_dir(name)
        write_csv(history.steps, results / "history.csv")
        write_csv(history.evaluations, results / "validation.csv")
        closing = history.steps[-objective.closing_steps :]
        summary = _summary(model, objective, plan, settings, closing, cost)
        write_json(summary, results / "summary.json")
        metrics = _metrics(history, closing)
        write_json(metrics, results / "training.json")
        tracker.metrics({f"train/{key}": value for key, value in metrics.items()})
        tracker.model(model_dir(name), data_dir(name))
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


def _metrics(history: History, closing: list[Row]) -> dict[str, Any]:
    """What people compare runs by."""
    best = min(history.evaluations, key=lambda row: row["loss"])
    return {
        "train_loss": _mean(closing, "loss"),
        "best_validation_loss": best["loss"],
        "best_validation_step": best["step"],
    }


def _summary(
    model: Transformer,
    objective: Objective,
    plan: Plan,
    settings: Training,
    closing: list[Row],
    flops_per_step: int,
) -> dict[str, Any]:
    """Size and cost of the training, and how it ended."""
    examples = objective.examples_seen(plan.steps)
    summary = {
        "steps": plan.steps,
        "batch_size": settings.batch_size,
        "examples": examples,
        "epochs": examples / objective.examples,
        objective.unit: examples * objective.units_per_example,
        "parameters": parameter_count(model),
        "flops_per_step": flops_per_step,
        "flops": flops_per_step * plan.steps,
        "closing_steps": len(closing),
        "closing_loss": _mean(closing, "loss"),
        "final_loss": closing[-1]["loss"],
        "final_delta_w": closing[-1]["delta_w"],
    }
    if "accuracy" in closing[-1]:
        summary["closing_accuracy"] = _mean(closing, "accuracy")
    return summary


def _mean(rows: list[Row], key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)
