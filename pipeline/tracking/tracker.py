"""What a stage says to MLflow.

Whatever happens to MLflow, the training goes on: the first failure is told once, nothing more is
sent, and all that the stage says is kept until `python -m pipeline sync` delivers it.
"""

import contextlib
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import records
from pipeline.lifetime import unbroken
from pipeline.params import Params
from pipeline.tracking import outbox, run, store
from pipeline.tracking.run import Identity, Run

# What a model in MLflow needs to run; the first one has the file that MLflow loads. By its path,
# not imported: no stage is to depend on the model for having told MLflow something.
PACKAGE = Path(__file__).parents[1]
PACKAGES = (PACKAGE, PACKAGE.with_name("transformer"))


class Tracker:
    """One MLflow run of a stage; a context manager that closes it with the status it deserves.

    model, seed: of the training; None for a stage that concerns all of them.
    training_id: of the training that the run is of: the run is continued if there is one, as after
        an interruption. None begins a new run.
    Attributes `run_id` and `experiment_id` are None while MLflow cannot be reached.
    """

    def __init__(
        self,
        stage: str,
        params: Params,
        model: str | None = None,
        seed: int | None = None,
        training_id: str | None = None,
    ):
        self.training_id = training_id or uuid.uuid4().hex
        self._stage = stage
        self._model = model
        self._identity = _identity(stage, params, model, seed, self.training_id)
        self._said: dict[tuple[str, str], dict[str, Any]] = {}
        self._on = True
        self._run: Run | None = None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run."""
        return self._run and self._run.run_id

    @property
    def experiment_id(self) -> str | None:
        """MLflow's id of the experiment."""
        return self._run and self._run.experiment_id

    def __enter__(self) -> "Tracker":
        if outbox.silent():
            self._on = False
        else:
            self._send(self._open)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and not issubclass(kind, Exception)
        status = "KILLED" if stopped else "FINISHED" if kind is None else "FAILED"
        if self._on:
            self._send(lambda: self._run.close(status))
        if self._on:
            outbox.forget(self._stage, self.training_id)
        else:
            said = [(operation, arguments) for (operation, _), arguments in self._said.items()]
            try:
                outbox.put(self._stage, self._identity, said, status)
            except OSError as error:
                print(f"warning: nothing is kept for MLflow either: {error}", file=sys.stderr)

    def params(self, values: dict[str, Any]) -> None:
        """Parameters of the run."""
        self._say("params", "", values=values)

    def tags(self, values: dict[str, str]) -> None:
        """Tags of the run."""
        self._say("tags", "", values=values)

    def series(self, group: str, rows: list[dict[str, float]]) -> None:
        """Metrics with steps: all rows so far, such as {"step": 10, "loss": 4.3}; the names of
        the metrics get the group in front: "train/loss"."""
        self._say("series", group, group=group, rows=rows)

    def metrics(self, values: dict[str, float]) -> None:
        """Final figures."""
        self._say("metrics", ",".join(values), values=values)

    def data(self, meta: dict[str, Any]) -> None:
        """Which data the run used, by its fingerprint."""
        self._say("data", "", meta=meta)

    def files(self, path: Path, folder: str | None = None) -> None:
        """A file, or a folder with all that is in it."""
        self._say("files", str(path), path=str(path), folder=folder)

    def model(self, model_dir: Path, data_dir: Path) -> None:
        """The trained model, such that `mlflow.pyfunc.load_model` loads it and it predicts.

        What is kept is this project's code and the weights as safetensors; nothing is pickled.
        """
        kept = {"meta": data_dir / "meta.json", "tokenizer": data_dir / "tokenizer.json"}
        artifacts = {key: str(path) for key, path in kept.items() if path.exists()}
        artifacts["model"] = str(model_dir)
        self._say("model", "", name=self._model, packages=list(map(str, PACKAGES)), **artifacts)

    def _say(self, operation: str, label: str, **arguments: Any) -> None:
        self._said[operation, label] = arguments
        if self._on:
            self._send(lambda: self._run.do(operation, arguments))

    def _open(self) -> None:
        self._run = Run(self._identity)

    def _send(self, call: Callable[[], None]) -> None:
        """Call MLflow, or tell once that it failed and leave it alone from then on."""
        with unbroken():
            try:
                call()
            except Exception as error:  # whatever it is, the training is worth more than its copy
                self._on = False
                outbox.note_silence()
                print(
                    f"warning: {store.failure(error)}\nthe run goes on without it; "
                    "`python -m pipeline sync` delivers it later",
                    file=sys.stderr,
                )


def mark_killed(training_ids: list[str]) -> None:
    """End the runs of trainings that were killed, and so could not end them themselves."""
    if training_ids and not outbox.silent():
        with contextlib.suppress(Exception):  # nothing that the stage at hand depends on
            run.mark_killed(training_ids)


def _identity(
    stage: str, params: Params, model: str | None, seed: int | None, training_id: str
) -> Identity:
    of_training = model is not None and seed is not None
    depends = params.deciding(model, seed) if of_training else params.model_dump()
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    experiment = os.environ.get("DVC_EXP_NAME")
    several = model is not None and len(params.seeds) > 1
    name = model or stage
    name += f", seed {seed}" if several else ""
    name += f" · {experiment}" if experiment else ""
    tags = {
        "stage": stage,
        "model": model,
        "profile": params.profile,
        "git_commit": records.git_commit(),
        "dvc_experiment": experiment,
        "dvc_baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        "params_hash": digest.hexdigest()[:12],
    }
    return Identity(
        training_id,
        name,
        begins=stage != "evaluate",
        tags={key: str(value) for key, value in tags.items() if value is not None},
        params=depends if of_training else {},
    )
