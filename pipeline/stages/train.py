"""train: train a model on data/<name>, once for each seed; write models/<name> and curves."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline import models, provenance, records, tracking
from pipeline.errors import UserError
from pipeline.objectives import build as build_objective
from pipeline.objectives.base import Objective
from pipeline.params import Params, Training
from pipeline.paths import (
    data_dir,
    model_dir,
    models_dir,
    read_json,
    require,
    results_dir,
    write_json,
)
from pipeline.training import checkpoint as checkpoints
from pipeline.training import device as devices
from pipeline.training.checkpoint import Checkpoint, identity
from pipeline.training.compilation import require_compiler
from pipeline.training.cost import flops_per_step
from pipeline.training.history import History, Row, mean, write_csv
from pipeline.training.loop import Plan
from pipeline.training.loop import train as run_loop
from pipeline.training.outlook import after
from pipeline.wording import counted, duration
from transformer import Transformer, parameter_count

STEPS, EVALUATIONS = "history.csv", "validation.csv"


def train(params: Params, name: str) -> None:
    """Train the model `name`; continue from its checkpoint if there is one.

    Raises:
        UserError: the data is not prepared, was prepared with other parameters, or changes during
            training; another process trains the same model; torch cannot compile here; or the
            training diverged.
    """
    data = require(data_dir(name), f"dvc repro prepare@{name}")
    provenance.check_data(name, params.section(name).data)
    fingerprint = read_json(data / "meta.json")["fingerprint"]
    with ExitStack() as held:
        keys = [identity(params, name, seed, fingerprint) for seed in params.seeds]
        kept = [held.enter_context(Checkpoint(name, key)) for key in keys]
        # Remove nothing before all checkpoints are locked: another process may train the model.
        tracking.mark_killed(checkpoints.prune())
        shutil.rmtree(models_dir(name), ignore_errors=True)  # seeds of another run
        histories = [
            _train(params, name, seed, data, key, checkpoint)
            for seed, key, checkpoint in zip(params.seeds, keys, kept, strict=True)
        ]
    write_csv(mean([history.steps for history in histories]), results_dir(name) / STEPS)
    evaluations = mean([history.evaluations for history in histories])
    write_csv(evaluations, results_dir(name) / EVALUATIONS)


def _train(
    params: Params, name: str, seed: int, data: Path, key: str, checkpoint: Checkpoint
) -> History:
    """Train with one seed, and write the folder of the model.

    key: of the training, see `checkpoint.identity`.
    """
    device, settings = devices.prepare(params), params.section(name).train
    if settings.compile:
        require_compiler(name, device)
    learned = provenance.fingerprints(data)
    objective = build_objective(name, params, seed, data, device)
    model = objective.build_model()
    cost = flops_per_step(model, objective, settings)
    folder = model_dir(name, seed)
    with tracking.Tracker("train", params, name, seed, checkpoint.training_id) as tracker:
        tracker.data(read_json(data / "meta.json"))

        def publish(steps: list[Row], evaluations: list[Row]) -> None:
            tracker.steps(steps)
            tracker.evaluations(evaluations)

        title = f"{name}, seed {seed}" if len(params.seeds) > 1 else name
        if objective.legend and seed == params.seeds[0]:
            print(objective.legend, flush=True)
        rest = after(params, name, seed)
        history, clock = run_loop(
            title, model.to(device), objective, settings, checkpoint, publish, after=rest
        )
        took = duration(sum(clock.seconds.values()))
        print(f"{title}: {counted(len(history.steps), 'step')} in {took}", flush=True)
        # Again, because a training that continues after its last step publishes nothing.
        publish(history.steps, history.evaluations)
        if provenance.fingerprints(data) != learned:
            raise UserError(
                f"{data} changed during the training of {name}: run `dvc repro train@{name}` again"
            )
        models.save(model, {**objective.model_config, provenance.DATA: learned}, folder)
        write_csv(history.steps, folder / STEPS)
        write_csv(history.evaluations, folder / EVALUATIONS)
        summary = summarize(model, objective, settings, history, cost)
        summary["weights_sha256"] = records.sha256(folder / models.WEIGHTS)
        write_json(summary, folder / "summary.json")
        tracking.TrainedModel(params, name, seed).log_training(tracker)
        rate = summary[objective.unit] / clock.seconds["train"]
        tracker.metrics({"seconds": clock.seconds["train"], f"{objective.unit}_per_second": rate})
        tracker.tags({"device": devices.name(device)})
        records.write(
            "train",
            f"{name}-{seed}",
            folder / models.WEIGHTS,
            {
                "seconds": {k: round(v, 3) for k, v in clock.seconds.items()},
                # Seconds of training until each evaluation, for the time to target.
                "marks": {step: round(seconds, 3) for step, seconds in clock.marks.items()},
                "throughput": rate,
                "unit": objective.unit,
                "device": devices.name(device),
                "threads": params.threads,
                "identity": key,
                "training_id": tracker.training_id,
                "mlflow_run_id": tracker.run_id,
                "mlflow_experiment_id": tracker.experiment_id,
            },
        )
    return history


def summarize(
    model: Transformer,
    objective: Objective,
    settings: Training,
    history: History,
    step_flops: int,
) -> dict[str, Any]:
    """The content of summary.json: size of the model, cost of the training, and last figures.

    flops_per_step: floating-point operations.
    """
    steps = Plan.of(settings, objective).steps
    examples = objective.examples_seen(steps)
    last = history.steps[-1]
    best = min(history.evaluations, key=lambda row: row[objective.watched])
    return {
        "steps": steps,
        "batch_size": settings.batch_size,
        "examples": examples,
        "epochs": examples / objective.examples,
        "unit": objective.unit,
        objective.unit: examples * objective.units_per_example,
        "parameters": parameter_count(model),
        "flops_per_step": step_flops,
        # The last batch of an epoch may be smaller.
        "flops": round(step_flops * examples / settings.batch_size),
        "closing_steps": min(objective.closing_steps, len(history.steps)),
        **history.closing(objective.closing_steps),
        "final_loss": last["loss"],
        "final_delta_w": last["delta_w"],
        f"best_{objective.watched}": best[objective.watched],
        "best_step": best["step"],
    }
