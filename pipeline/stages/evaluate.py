"""evaluate: compute the metrics of a trained model on the whole held-out split, and samples."""

import shutil
from dataclasses import asdict
from typing import Any

from pipeline import provenance
from pipeline.curves import write_csv
from pipeline.params import Params
from pipeline.paths import WEIGHTS, data_dir, model_dir, prediction_dir, require, sha256, write_json
from pipeline.running import launch, records
from pipeline.running.agreement import in_all, require_agreement
from pipeline.running.checkpoint import Checkpoint, identity
from pipeline.running.joining import joined
from pipeline.tasks.assembly import Assembly, assemble
from pipeline.training import device as devices
from pipeline.training import models
from pipeline.training.clock import Clock
from pipeline.views import view
from pipeline.wording import number, wrapped


def evaluate(params: Params, name: str, seed: int) -> None:
    """Write metrics and samples of the model `name` trained with `seed`. The stage `report` logs
    those of all models to MLflow, whose import takes seconds, in one process.

    Several processes share the work as in a training; see `stages.train`.

    Raises:
        UserError: the data is not prepared, the model is not trained, or one of them was made with
            other data or parameters; or its processes differ, or one of them ended.
    """
    if (count := launch.wanted()) > 1:
        launch.launch(count, params.threads)
        return
    with joined() as processes:
        require_agreement(processes, params, name, seed, data_dir(name), model_dir(name, seed))
        meta, training, model = in_all(processes, lambda: _loaded(params, name, seed))
        training.task.processes = processes  # each has the whole model, also with fully_shard
        processes.use(training.device)
        _evaluate(params, name, seed, meta, training, model)


def _loaded(params: Params, name: str, seed: int) -> tuple[dict[str, Any], Assembly, Any]:
    """The description of the data, the assembled task, and the trained model on its device."""
    meta = provenance.check_data(name, params.section(name))
    folder = require(model_dir(name, seed), f"dvc repro train@{name}-{seed}")
    provenance.check_model(name, folder)
    training = assemble(params, name, seed, data_dir(name))
    model, config = models.load(folder)
    wanted = training.task.build_model().config
    assert wanted is not None
    provenance.check_architecture(folder, config, wanted)
    return meta, training, model.to(training.device)


def _evaluate(
    params: Params,
    name: str,
    seed: int,
    meta: dict[str, Any],
    training: Assembly,
    model: Any,
) -> None:
    """Compute, in all processes; the first one writes. meta: of the data."""
    task, seen = training.task, view(params.section(name).task)
    clock = Clock()
    with clock.measure("evaluate"):
        metrics = task.evaluate(model)
        samples = seen.samples(task, model)
        predictions = seen.predictions(task, model)
    if not task.processes.first:
        return
    made = prediction_dir(name, seed)
    shutil.rmtree(made, ignore_errors=True)
    write_json(metrics, made / "metrics.json")
    write_json(samples, made / "samples.json")
    write_json({key: asdict(each) for key, each in task.measures.items()}, made / "measures.json")
    write_json(list(task.headline), made / "headline.json")
    write_json(meta, made / "data.json")
    if predictions:
        write_csv([{"seed": seed, **row} for row in predictions], made / "predictions.csv")
    write_json({"weights_sha256": sha256(model_dir(name, seed) / WEIGHTS)}, made / provenance.MODEL)
    content = {"seconds": dict(clock.seconds), "device": devices.name(training.device)}
    records.write("evaluate", f"{name}-{seed}", made / "metrics.json", content)
    # dvc.lock has the training now, so its checkpoint is not needed any more.
    Checkpoint(f"{name}-{seed}", identity(params, name, seed, meta["fingerprint"])).remove()
    which = f"{name}, seed {seed}" if len(params.seeds) > 1 else name
    line = ", ".join(f"{key} {number(metrics[key])}" for key in task.headline)
    print(wrapped(f"{which}: {line}"))
