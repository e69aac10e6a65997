"""Logs a training to MLflow.

A thread makes the calls, one after the other, so that the training does not wait for a server. A
failure of MLflow never stops the training. The first one prints a warning; then nothing more is
sent, and everything is kept until `python -m pipeline sync` uploads it.
"""

import contextlib
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from pipeline.curves import Row
from pipeline.errors import print_error
from pipeline.params import Params
from pipeline.running.lifetime import seconds_left, unbroken
from pipeline.tracking import outbox, store
from pipeline.tracking.identity import identity
from pipeline.tracking.run import Run, find
from pipeline.tracking.secrets import hide

# The packages that a model in MLflow needs; the first one has the file that MLflow loads. As paths:
# an import would make the code of the model a dependency of every stage.
PACKAGE = Path(__file__).parents[1]
PACKAGES = (PACKAGE, PACKAGE.with_name("transformer"))
SLICE = 0.1  # seconds between two looks for a signal
RESERVE = 3  # seconds for keeping a run, before a stage that was stopped has to end


class Tracker:
    """The MLflow run of a training; a context manager around everything that a stage adds to it.
    At its end, all has been sent or is kept; until then, values and files must stay as they were
    given.

    stage: `train` begins the run and ends it with its status; other stages continue it.
    training_id: of the training; None begins a new run.
    weights: SHA-256 of the trained model, to find a run that another machine began.

    `run_id` is None if MLflow cannot be reached.
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
        self._operations: dict[tuple[str, str], dict[str, Any]] = {}
        self._reachable = False
        self._run: Run | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._last: Future[None] | None = None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run. Waits for what has been sent."""
        self._wait()
        return self._run.run_id if self._run else None

    @property
    def created(self) -> bool:
        """Whether this tracker created the run in MLflow. Waits for what has been sent."""
        self._wait()
        return self._run is not None and self._run.created

    def __enter__(self) -> "Tracker":
        self._reachable = not outbox.unreachable()
        self._send(lambda run: None)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and not issubclass(kind, Exception)
        status = "KILLED" if stopped else "FINISHED" if kind is None else "FAILED"
        with unbroken():  # as a whole: after a signal, too, the run is ended or kept
            self._send(lambda run: run.close(status))
            self._wait()
            self._thread.shutdown(wait=False)
            self._keep(status)

    def _keep(self, status: str) -> None:
        """Keep the run for a later upload if MLflow does not have it."""
        if self._reachable:
            outbox.discard(self._stage, self.training_id)
            return
        kept = [(name, arguments) for (name, _), arguments in self._operations.items()]
        try:
            outbox.put(self._stage, self._identity, kept, status)
        except OSError as error:
            print_error(f"the run is not kept for a later upload: {error}", "warning")

    def tags(self, values: dict[str, str]) -> None:
        """Set tags of the run."""
        self._add("tags", ",".join(values), values=values)

    def curves(self, steps: list[Row], evaluations: list[Row]) -> None:
        """Log all steps and evaluations so far: {"step": 10, "loss": 4.3} is `gpt/training/loss` at
        step 10, or `gpt.loss` of an evaluation."""
        # Copies: the training adds to its lists, while the thread reads them.
        self._add("series", "steps", group=f"{self._model}/training", rows=list(steps))
        self._add("series", "evaluations", group=self._model, rows=list(evaluations), joint=".")

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Log final metrics, named as in `dvc exp show`: `gpt.loss`.

        step: the step after which they were measured; 0 for metrics without a curve.
        """
        named = {f"{self._model}.{key}": value for key, value in values.items()}
        self._add("metrics", ",".join(values), values=named, step=step)

    def data(self, meta: dict[str, Any]) -> None:
        """Log the data of the training, by its fingerprint; meta: content of meta.json."""
        self._add("data", "", meta=meta)

    def files(self, path: Path, folder: str | None = None) -> None:
        """Attach a file, or a folder with its content, in the folder `folder` of the run."""
        self._add("files", str(path), path=str(path), folder=folder)

    def model(self, model_dir: Path, data_dir: Path) -> None:
        """Log the trained model, for `mlflow.pyfunc.load_model`.

        It consists of this project's code and the weights as safetensors; nothing is pickled.
        """
        kept = {"meta": data_dir / "meta.json", "tokenizer": data_dir / "tokenizer.json"}
        artifacts = {key: str(path) for key, path in kept.items() if path.exists()}
        artifacts["model"] = str(model_dir)
        self._add("model", "", name=self._model, packages=list(map(str, PACKAGES)), **artifacts)

    def register(self, metric: str, value: float, comparable: str) -> None:
        """Register the model; see `registry.register`."""
        arguments = {"metric": metric, "value": value, "comparable": comparable}
        self._add("register", "", model=self._model, **arguments)

    def note(self, text: str) -> None:
        """Set the run's description, in Markdown; `<run>` becomes the address of its page."""
        self._add("note", "", text=text)

    def _add(self, operation: str, label: str, **arguments: Any) -> None:
        self._operations[operation, label] = arguments
        self._send(lambda run: run.do(operation, arguments))

    def _send(self, call: Callable[[Run], None]) -> None:
        """Let the thread open the run, if it is not open, and call it."""
        if self._reachable:
            self._last = self._thread.submit(self._call, call)

    def _call(self, call: Callable[[Run], None]) -> None:
        """Call MLflow; if it fails, print a warning and send nothing more."""
        if not self._reachable:  # since an earlier call
            return
        try:
            self._run = self._run or Run(self._identity)
            call(self._run)
        except Exception as error:  # no error of MLflow may stop the training
            self._go_on_without(store.failure(error))
            with contextlib.suppress(OSError):  # only spares later stages an attempt
                outbox.mark_unreachable()

    def _go_on_without(self, reason: str) -> None:
        self._reachable = False
        print_error(
            f"{reason}\nthe run continues without MLflow; "
            "`python -m pipeline sync` uploads it later",
            label="warning",
        )

    def _wait(self) -> None:
        """Wait until all has been sent; after a signal, while there is time to keep it."""
        if not self._last:
            return
        with unbroken():
            while not wait([self._last], SLICE).done:
                if seconds_left() < RESERVE:
                    self._go_on_without(f"MLflow at {hide(store.uri())} is slow")
                    return


def mark_killed(training_ids: list[str]) -> None:
    """Set the runs of killed trainings to KILLED; they end at the time of their last metric."""
    if not training_ids or outbox.unreachable():
        return
    import mlflow

    with contextlib.suppress(Exception):  # the stage does not depend on it
        experiment_id, client = store.experiment_id(), mlflow.MlflowClient()
        for training_id in training_ids:
            query = f"tags.training_id = '{training_id}' and attributes.status = 'RUNNING'"
            if run_id := find(query, experiment_id):
                run = client.get_run(run_id)
                loss = f"{run.data.tags['model']}/training/loss"
                logged = client.get_metric_history(run_id, loss)
                ended = max((metric.timestamp for metric in logged), default=run.info.start_time)
                client.set_terminated(run_id, "KILLED", ended)
