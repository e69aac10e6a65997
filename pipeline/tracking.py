"""MLflow: a copy of the record, for browsing and comparing. The record is what the stages write.

Whatever happens to MLflow, the training goes on: the first failure is told once, and from then on
nothing more is sent.
"""

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline import records
from pipeline.params import Params, flatten
from pipeline.paths import read_json, root

EXPERIMENT = "transformer-benchmark"
PACKAGE = Path(__file__).parent
SERVING = ("mlflow", "torch", "numpy", "safetensors", "tokenizers")
BATCH = 1000  # metrics that MLflow takes in one call

# A server that is down or hangs may cost seconds, not the minutes of MLflow's defaults.
for _key, _value in {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_key, _value)


def default_store() -> str:
    """The database in the project's root; the main one for DVC's temporary copies too."""
    return f"sqlite:///{(root() / 'mlflow.db').absolute()}"


def store() -> str:
    """Where runs are kept: MLFLOW_TRACKING_URI, or the database in the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or default_store()


def experiment_id() -> str:
    """The experiment's id; it and the database are created where they are missing."""
    import mlflow

    # Two processes that create the same database at once break it: one at a time.
    folder = root() / ".cache"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "mlflow.lock"):
        mlflow.set_tracking_uri(store())
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found:
            return found.experiment_id
        local = store() == default_store()
        artifacts = (root() / "mlartifacts").absolute().as_uri() if local else None
        return client.create_experiment(EXPERIMENT, artifact_location=artifacts)


class Tracker:
    """One MLflow run of a stage; a context manager that closes it with the status it deserves.

    run_id: a run to continue, such as the one of the training that is now evaluated.
    Attributes `run_id` and `experiment_id` are None while MLflow cannot be reached.
    """

    def __init__(self, stage: str, model: str | None, params: Params, run_id: str | None = None):
        self.stage = stage
        self.model_name = model
        self.run_id = run_id
        self.experiment_id: str | None = None
        self._on = True
        self._depends = (
            {
                "seed": params.seed,
                "architecture": params.architecture(model).model_dump(),
                **params.section(model).model_dump(exclude={"model"}),
            }
            if model
            else params.model_dump()
        )
        self._profile = params.profile

    def __enter__(self) -> "Tracker":
        self._send(self._start)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and not issubclass(kind, Exception)
        status = "KILLED" if stopped else "FINISHED" if kind is None else "FAILED"
        self._send(lambda mlflow: mlflow.end_run(status))

    def params(self, params: dict[str, Any]) -> None:
        """Parameters of the run."""
        self._send(lambda mlflow: mlflow.log_params(params))

    def series(self, rows: list[dict[str, float]]) -> None:
        """Metrics with steps: rows such as {"step": 10, "train/loss": 4.3}."""
        from time import time

        def send(mlflow: Any) -> None:
            from mlflow.entities import Metric

            now = int(time() * 1000)
            metrics = [
                Metric(key, float(value), now, int(row["step"]))
                for row in rows
                for key, value in row.items()
                if key != "step"
            ]
            client = mlflow.MlflowClient()
            for start in range(0, len(metrics), BATCH):
                client.log_batch(self.run_id, metrics=metrics[start : start + BATCH])

        self._send(send)

    def metrics(self, metrics: dict[str, float]) -> None:
        """Final figures."""
        self._send(lambda mlflow: mlflow.log_metrics(metrics))

    def data(self, meta: dict[str, Any]) -> None:
        """Which data the run used, by its fingerprint."""

        def send(mlflow: Any) -> None:
            from mlflow.data.code_dataset_source import CodeDatasetSource
            from mlflow.data.meta_dataset import MetaDataset

            source = CodeDatasetSource({"source": meta["source"], "title": meta["title"]})
            digest = meta["fingerprint"][:36]
            dataset = MetaDataset(source, name=meta["source"], digest=digest)
            mlflow.log_input(dataset, context="training")

        self._send(send)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """A file."""
        self._send(lambda mlflow: mlflow.log_artifact(str(path), folder))

    def folder(self, path: Path, folder: str | None = None) -> None:
        """A folder with all that is in it."""
        self._send(lambda mlflow: mlflow.log_artifacts(str(path), folder))

    def model(self, model_dir: Path, data_dir: Path) -> None:
        """The trained model, such that `mlflow.pyfunc.load_model` loads it and it predicts.

        What is kept is this project's code and the weights as safetensors; nothing is pickled.
        """

        def send(mlflow: Any) -> None:
            kept = {"meta": data_dir / "meta.json", "tokenizer": data_dir / "tokenizer.json"}
            artifacts = {key: str(path) for key, path in kept.items() if path.exists()}
            versions = records.versions()
            with warnings.catch_warnings():
                # Advice to add type hints or an example; the signature says the same.
                warnings.simplefilter("ignore", UserWarning)
                mlflow.pyfunc.log_model(
                    name=self.model_name,
                    python_model=str(PACKAGE / "mlflow_model.py"),
                    artifacts={"model": str(model_dir), **artifacts},
                    code_paths=[str(PACKAGE), str(PACKAGE.parent / "transformer")],
                    signature=_signature(read_json(kept["meta"])),
                    pip_requirements=[
                        f"{package}=={versions[package].split('+')[0]}" for package in SERVING
                    ],
                )

        self._send(send)

    def _start(self, mlflow: Any) -> None:
        self.experiment_id = experiment_id()
        experiment = os.environ.get("DVC_EXP_NAME")
        name = self.model_name or self.stage
        tags = {
            "stage": self.stage,
            "model": self.model_name,
            "profile": self._profile,
            "git_commit": records.git_commit(),
            "dvc_experiment": experiment,
            "dvc_baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
            "params_hash": hashlib.sha256(
                json.dumps(self._depends, sort_keys=True).encode()
            ).hexdigest()[:12],
        }
        if self.run_id is None or not self._exists(mlflow):
            run = mlflow.start_run(
                experiment_id=self.experiment_id,
                run_name=f"{name} · {experiment}" if experiment else name,
                tags={key: str(value) for key, value in tags.items() if value is not None},
            )
            self.run_id = run.info.run_id
            if self.model_name:
                mlflow.log_params(flatten(self._depends))
        else:
            mlflow.start_run(self.run_id)

    def _exists(self, mlflow: Any) -> bool:
        try:
            mlflow.get_run(self.run_id)
        except mlflow.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _send(self, call: Callable[[Any], Any]) -> None:
        """Call MLflow, or tell once that it failed and leave it alone from then on."""
        if not self._on:
            return
        try:
            import mlflow

            call(mlflow)
        except Exception as error:  # whatever it is, the training is worth more than its copy
            self._on = False
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            print(
                f"warning: MLflow at {store()} failed, the run goes on without it: {reason[:200]}",
                file=sys.stderr,
            )


def _signature(meta: dict[str, Any]) -> Any:
    """What the model takes: texts, or images of the size it was trained on."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    if meta["kind"] == "text":
        return ModelSignature(Schema([ColSpec("string")]))
    shape = (-1, meta["channels"], meta["image_size"], meta["image_size"])
    return ModelSignature(Schema([TensorSpec(np.dtype("uint8"), shape)]))
