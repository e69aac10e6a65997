"""One run in MLflow, to which the same thing may be said again without harm.

An interrupted training says again what it said before, and so does what is delivered late: a run
is found by the training's own id, a step that it has is not logged twice, nor is a model.
"""

import json
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import records
from pipeline.paths import read_json
from pipeline.tracking import store

SERVING = ("mlflow", "torch", "numpy", "safetensors", "tokenizers")
BATCH = 1000  # metrics that MLflow takes in one call


@dataclass(frozen=True)
class Identity:
    """Which run: of which training, and what is said of it when it begins.

    training_id: known before MLflow is asked, and outlives interruptions.
    begins: whether this stage gives the run its tags; another one that continues the run gives
        them only where it has to create the run.
    """

    training_id: str
    name: str
    begins: bool
    tags: dict[str, str]
    params: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """As JSON, for `Identity(**...)`."""
        return asdict(self)


class Run:
    """A run that is open in MLflow; `do` is the one way to add to it."""

    def __init__(self, identity: Identity):
        import mlflow
        from mlflow.tracking.context.registry import resolve_tags

        self.experiment_id = store.experiment_id()
        self._client = mlflow.MlflowClient()
        self._last_step: dict[str, int] = {}
        found = find(identity.training_id, self.experiment_id)
        self._found = found is not None
        if found is None:
            tags = identity.tags | {"training_id": identity.training_id}
            run = self._client.create_run(
                self.experiment_id, run_name=identity.name, tags=resolve_tags(tags)
            )
            self.run_id = run.info.run_id
        else:
            self.run_id = found
            self._client.update_run(found, status="RUNNING")
            if identity.begins:
                self._tags(identity.tags)
        if identity.begins or not self._found:
            self._params(identity.params)

    def close(self, status: str) -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self.run_id, status)

    def do(self, operation: str, arguments: dict[str, Any]) -> None:
        """Add to the run: an operation of `Tracker` and its arguments."""
        getattr(self, f"_{operation}")(**arguments)

    def _params(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        # As `-S` takes them: true, not True.
        params = [Param(k, v if isinstance(v, str) else json.dumps(v)) for k, v in values.items()]
        self._client.log_batch(self.run_id, params=params)

    def _tags(self, values: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

    def _series(self, group: str, rows: list[dict[str, float]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(f"{group}/{key}", float(value), now, int(row["step"]))
            for row in rows
            for key, value in row.items()
            if key != "step" and row["step"] > self._last(f"{group}/{key}")
        ]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + BATCH])
        for metric in metrics:
            self._last_step[metric.key] = metric.step

    def _last(self, key: str) -> int:
        """The last step of a series that the run has."""
        if key not in self._last_step:
            known = self._client.get_metric_history(self.run_id, key) if self._found else []
            self._last_step[key] = max((metric.step for metric in known), default=0)
        return self._last_step[key]

    def _metrics(self, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        known = self._client.get_run(self.run_id).data.metrics
        fresh = [Metric(k, float(v), now, 0) for k, v in values.items() if known.get(k) != v]
        self._client.log_batch(self.run_id, metrics=fresh)

    def _data(self, meta: dict[str, Any]) -> None:
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag

        source = CodeDatasetSource({"source": meta["source"], "title": meta["title"]})
        digest = meta["fingerprint"][:36]
        dataset = MetaDataset(source, name=meta["source"], digest=digest)
        entity = dataset._to_mlflow_entity()
        tags = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(self.run_id, [DatasetInput(entity, tags)])

    def _files(self, path: str, folder: str | None) -> None:
        if Path(path).is_dir():
            self._client.log_artifacts(self.run_id, path, folder)
        else:
            self._client.log_artifact(self.run_id, path, folder)

    def _model(self, name: str, packages: list[str], **artifacts: str) -> None:
        import mlflow

        if self._client.get_run(self.run_id).outputs.model_outputs:
            return
        versions = records.versions()
        with warnings.catch_warnings(), mlflow.start_run(self.run_id):
            # Advice on type hints; the signature says what a hint would.
            warnings.simplefilter("ignore", UserWarning)
            mlflow.pyfunc.log_model(
                name=name,
                python_model=str(Path(packages[0]) / "mlflow_model.py"),
                artifacts=artifacts,
                code_paths=packages,
                signature=_signature(read_json(Path(artifacts["meta"]))),
                pip_requirements=[
                    f"{package}=={versions[package].split('+')[0]}" for package in SERVING
                ],
            )


def find(training_id: str, experiment_id: str, condition: str = "") -> str | None:
    """The id of the run of a training; None if MLflow has none that fulfils the condition."""
    import mlflow

    query = f"tags.training_id = '{training_id}'{condition}"
    found = mlflow.MlflowClient().search_runs([experiment_id], query, max_results=1)
    return found[0].info.run_id if found else None


def mark_killed(training_ids: list[str]) -> None:
    """End the runs of trainings that were killed, and so could not end them themselves."""
    import mlflow

    experiment_id = store.experiment_id()
    for training_id in training_ids:
        run_id = find(training_id, experiment_id, " and attributes.status = 'RUNNING'")
        if run_id:
            mlflow.MlflowClient().set_terminated(run_id, "KILLED")


def _signature(meta: dict[str, Any]) -> Any:
    """What the model takes: texts, or images of the size it was trained on."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    if meta["kind"] == "text":
        return ModelSignature(Schema([ColSpec("string")]))
    shape = (-1, meta["channels"], meta["image_size"], meta["image_size"])
    return ModelSignature(Schema([TensorSpec(np.dtype("uint8"), shape)]))
