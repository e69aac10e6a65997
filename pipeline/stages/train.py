"""train: train a model on data/<name> with one seed; write models/<name>/seed-<seed>."""

import os
import shutil
from typing import Any

from pipeline import provenance
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.paths import SWEEP_CLUSTER, WEIGHTS, data_dir
from pipeline.running import checkpoint as checkpoints
from pipeline.running import durations, launch, records
from pipeline.running.agreement import in_all, require_agreement
from pipeline.running.checkpoint import Checkpoint, identity
from pipeline.running.joining import joined
from pipeline.running.lifetime import unbroken
from pipeline.running.outlook import after
from pipeline.running.peak import peak
from pipeline.running.watch import Follower, Watch
from pipeline.tasks.assembly import Assembly, Trained, assemble
from pipeline.tracking import Tracker, TrainedModel, mark_killed
from pipeline.training import device as devices
from pipeline.training.loop import NoCheckpoint
from pipeline.training.tree import require_size
from pipeline.wording import counted, duration


def train(params: Params, name: str, seed: int, ahead: bool = False) -> None:
    """Train the model `name` with `seed`; continue from its checkpoint if there is one.

    PROCESSES, or a launcher such as torchrun, says how many processes share the work. The first
    one alone writes, logs and tracks.

    ahead: only train and keep the checkpoint; the stage then writes the outputs without training.

    Raises:
        UserError: the data is not prepared, was prepared with other parameters, or changes during
            training; another process trains the same model; torch cannot compile here; the
            training diverged; its processes do not fit, differ, or one of them ended; or it is
            the work of a cluster.
    """
    if SWEEP_CLUSTER in os.environ:
        raise UserError(
            f"{name}, seed {seed} is trained on the cluster, but its results are neither here nor "
            "in the DVC remote; start the sweep again"
        )
    accumulate = params.section(name).train.accumulate
    if (count := launch.wanted()) > 1:
        require_size(count, accumulate)
        launch.launch(count, params.threads)
        return
    with joined() as processes:
        data = data_dir(name)
        require_agreement(processes, params, name, seed, data)
        require_size(processes.size, accumulate)
        meta = in_all(processes, lambda: provenance.check_data(name, params.section(name)))
        training = in_all(processes, lambda: assemble(params, name, seed, data, processes))
        training.task.processes.use(training.device)
        if processes.first:
            _train(params, name, seed, ahead, meta, training)
        else:
            with unbroken():
                training.train(NoCheckpoint(), Follower())


def _train(
    params: Params,
    name: str,
    seed: int,
    ahead: bool,
    meta: dict[str, Any],
    training: Assembly,
) -> None:
    """Train, as the process that writes. meta: of the data."""
    data = data_dir(name)
    key = identity(params, name, seed, meta["fingerprint"])
    learned = provenance.fingerprints(data)
    title = f"{name}, seed {seed}" if len(params.seeds) > 1 else name
    with Checkpoint(f"{name}-{seed}", key) as checkpoint:
        mark_killed(checkpoints.prune())
        with Tracker("train", params, name, seed, checkpoint.training_id) as tracker:
            tracker.data(meta)
            if training.task.legend and seed == params.seeds[0]:
                print(training.task.legend, flush=True)
            watch = Watch(title, training.task, tracker.curves, after(params, name, seed))
            with unbroken(), watch:
                trained = training.train(checkpoint, watch)
            steps, evaluations = trained.history.steps, trained.history.evaluations
            took = duration(sum(trained.clock.seconds.values()))
            print(f"{title}: {counted(len(steps), 'step')} in {took}", flush=True)
            # Again, because a training that continues after its last step logs nothing.
            tracker.curves(steps, evaluations)
            if provenance.fingerprints(data) != learned:
                raise UserError(
                    f"{data} changed during the training of {name}: run `dvc repro "
                    f"train@{name}-{seed}` again"
                )
            if not ahead:
                about = {"task": params.section(name).task, provenance.DATA: learned}
                _write(TrainedModel(params, name, seed), trained, key, about, tracker)


def _write(
    model: TrainedModel,
    trained: Trained,
    key: str,
    about: dict[str, Any],
    tracker: Tracker,
) -> None:
    """Write the folder of the model; log its end in MLflow and its times in the record.

    key: of the training, see `checkpoint.identity`. about: further keys of the model's config.
    """
    clock, task = trained.clock, trained.assembly.task
    shutil.rmtree(model.folder, ignore_errors=True)
    summary = trained.save(model.folder, about)
    model.log_training(tracker)
    rate = summary[task.unit] / clock.seconds["train"]
    tracker.metrics({"seconds": clock.seconds["train"], f"{task.unit}_per_second": rate})
    device = devices.name(trained.assembly.device)
    tracker.tags({"device": device})
    durations.remember(model.params, model.name, model.seed, sum(clock.seconds.values()))
    records.write(
        "train",
        f"{model.name}-{model.seed}",
        model.folder / WEIGHTS,
        {
            "seconds": {k: round(v, 3) for k, v in clock.seconds.items()},
            # Seconds of training until each evaluation, for the time to target.
            "marks": {step: round(seconds, 3) for step, seconds in clock.marks.items()},
            "throughput": rate,
            "peak": peak() if device == "cpu" and task.processes.size == 1 else None,
            "unit": task.unit,
            "device": device,
            "threads": model.params.threads,
            "processes": task.processes.size,
            "identity": key,
            "training_id": tracker.training_id,
            "mlflow_run_id": tracker.run_id,
        },
    )
