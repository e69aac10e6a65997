"""What a stage says to MLflow of a training.

Whatever happens to MLflow, the training goes on: the first failure is told once, nothing more is
sent, and all that the stage says is kept until `python -m pipeline sync` delivers it.
"""

import contextlib
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.lifetime import unbroken
from pipeline.params import Params
from pipeline.tracking import outbox, run, store
from pipeline.tracking.identity import identity
from pipeline.tracking.run import Run

# What a model in MLflow needs to run; the first one has the file that MLflow loads. By its path,
# not imported: no stage is to depend on the model for having told MLflow something.
PACKAGE = Path(__file__).parents[1]
PACKAGES = (PACKAGE, PACKAGE.with_name("transformer"))
UNITS = ("tokens", "images")  # columns of curves


class Tracker:
    """The MLflow run of a training; a context manager around what a stage adds to it.

    stage: `train` begins the run and closes it with the status it deserves; the others continue it.
    training_id: of the training. None begins a new run.
    weights: checksum of the trained model, by which a run is found that another machine began.
    Attributes `run_id` and `experiment_id` are None while MLflow cannot be reached.
    """

    def __init__(
        self,
        stage: str,
        params: Params,
        model: str,
        seed: int,
        training_id: str | None = None,
        weights: str | None = None,
    ):
        self.training_id = training_id or uuid.uuid4().hex
        self._stage = stage
        self._model = model
        self._identity = identity(stage, params, model, seed, self.training_id, weights)
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

    @property
    def created(self) -> bool:
        """Whether MLflow had no run of the training before."""
        return self._run is not None and self._run.created

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

    def tags(self, values: dict[str, str]) -> None:
        """Tags of the run."""
        self._say("tags", ",".join(values), values=values)

    def steps(self, rows: list[dict[str, float]]) -> None:
        """What each step logs, all rows so far: {"step": 10, "loss": 4.3} is `gpt/training/loss`
        at step 10."""
        self._say("series", "steps", group=f"{self._model}/training", rows=_drawn(rows))

    def evaluations(self, rows: list[dict[str, float]]) -> None:
        """Figures of the evaluations during training, all rows so far, named as in `metrics`."""
        self._say("series", "evaluations", group=self._model, rows=_drawn(rows), joint=".")

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Final figures, named as in `dvc exp show`: `gpt.loss`.

        step: after which they were measured; 0 for what is no part of a curve.
        """
        named = {f"{self._model}.{key}": value for key, value in values.items()}
        self._say("metrics", ",".join(values), values=named, step=step)

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

    def register(self, figure: str, value: float, comparable: str) -> None:
        """Register the model; see `registry.register`."""
        arguments = {"figure": figure, "value": value, "comparable": comparable}
        self._say("register", "", model=self._model, **arguments)

    def note(self, text: str) -> None:
        """The run's description, in Markdown; `<run>` stands for the address of its page."""
        self._say("note", "", text=text)

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


def _drawn(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Without tokens or images seen: MLflow draws every column, and by steps they are a straight
    line."""
    return [{key: value for key, value in row.items() if key not in UNITS} for row in rows]
