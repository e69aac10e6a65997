"""evaluate: compute the metrics of a trained model on the whole held-out split, and samples."""

import shutil
from dataclasses import asdict

from pipeline import provenance
from pipeline.curves import write_csv
from pipeline.params import Params
from pipeline.paths import WEIGHTS, data_dir, model_dir, prediction_dir, require, sha256, write_json
from pipeline.running import launch, records
from pipeline.running.checkpoint import Checkpoint, identity
from pipeline.running.joining import joined
from pipeline.tasks.assembly import assemble
from pipeline.training import device as devices
from pipeline.training import models
from pipeline.training.clock import Clock
from pipeline.training.processes import Processes
from pipeline.views import view
from pipeline.wording import number, wrapped


def evaluate(params: Params, name: str, seed: int) -> None:
    """Write metrics and samples of the model `name` trained with `seed`. The stage `report` logs
    those of all models to MLflow, whose import takes seconds, in one process.

    Several processes share the work as in a training; see `stages.train`.

    Raises:
        UserError: the data is not prepared, the model is not trained, or one of them was made with
            other data or parameters.
    """
    if (count := launch.wanted()) > 1:
        launch.launch(count, params.threads)
        return
    with joined() as processes:
        _evaluate(params, name, seed, processes)


def _evaluate(params: Params, name: str, seed: int, processes: Processes) -> None:
    meta = provenance.check_data(name, params.section(name))
    folder = require(model_dir(name, seed), f"dvc repro train@{name}-{seed}")
    provenance.check_model(name, folder)
    training = assemble(params, name, seed, data_dir(name))
    task, seen = training.task, view(params.section(name).task)
    task.processes = processes  # each has the whole model, also with train.fully_shard
    processes.use(training.device)
    model, config = models.load(folder)
    wanted = task.build_model().config
    assert wanted is not None
    provenance.check_architecture(folder, config, wanted)
    model.to(training.device)
    clock = Clock()
    with clock.measure("evaluate"):
        metrics = task.evaluate(model)
        samples = seen.samples(task, model)
        predictions = seen.predictions(task, model)
    if not processes.first:
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
    write_json({"weights_sha256": sha256(folder / WEIGHTS)}, made / provenance.MODEL)
    content = {"seconds": dict(clock.seconds), "device": devices.name(training.device)}
    records.write("evaluate", f"{name}-{seed}", made / "metrics.json", content)
    # dvc.lock has the training now, so its checkpoint is not needed any more.
    Checkpoint(f"{name}-{seed}", identity(params, name, seed, meta["fingerprint"])).remove()
    which = f"{name}, seed {seed}" if len(params.seeds) > 1 else name
    line = ", ".join(f"{key} {number(metrics[key])}" for key in task.headline)
    print(wrapped(f"{which}: {line}"))
