"""One run in MLflow; logging the same thing twice has no effect.

An interrupted training and a late upload log again what they logged before. Therefore a run is
found by the id of its training, and its steps and its model are logged only once.
"""

import json
import tempfile
import time
import warnings
from collections import ChainMap
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from pipeline.curves import COUNTED
from pipeline.paths import CONFIG, read_json
from pipeline.running import records
from pipeline.tracking import registry, rows, store
from pipeline.tracking.identity import Identity

SERVING = ("mlflow", "torch", "numpy", "safetensors", "tokenizers")
BATCH = 1000  # the most metrics that MLflow accepts in one call


class Run:
    """A run in MLflow, found or created; `do` adds to it.

    created: whether it was created now.
    """

    def __init__(self, identity: Identity):
        import mlflow

        self.experiment_id = store.experiment_id()
        self._client = mlflow.MlflowClient()
        self._last_step: dict[str, int] = {}
        found = find(f"tags.training_id = '{identity.training_id}'", self.experiment_id)
        if found is None and identity.weights:
            found = find(f"tags.{rows.WEIGHTS_TAG} = '{identity.weights}'", self.experiment_id)
        self.created = found is None
        self.run_id = found or self._create(identity)
        self._begins = identity.begins or self.created
        self._ended = None if identity.begins else identity.started
        if found and identity.begins:
            self._client.update_run(found, status="RUNNING")
            self._tags(identity.tags)
        if self._begins:
            self._params(identity.params)
        if identity.experiment:
            rows.add(self._client, self._client.get_run(self.run_id), identity.experiment)

    def _create(self, identity: Identity) -> str:
        from mlflow.tracking.context.default_context import DefaultRunContext
        from mlflow.tracking.context.git_context import GitRunContext

        # MLflow's other contexts are notebooks, for which it would import IPython.
        contexts = [DefaultRunContext(), GitRunContext()]
        known = [context.tags() for context in contexts if context.in_context()]
        tags = dict(ChainMap(identity.tags, {"training_id": identity.training_id}, *known))
        run = self._client.create_run(
            self.experiment_id,
            start_time=identity.started,
            run_name=self._unused_name(identity.name),
            tags=tags,
        )
        return run.info.run_id

    def _unused_name(self, name: str) -> str:
        """The name, with a number if another run has it already."""
        query = f"attributes.run_name LIKE '{name}%'"
        used = {run.info.run_name for run in self._client.search_runs([self.experiment_id], query)}
        names = (f"{name} · {number}" for number in range(2, len(used) + 2))
        return next(each for each in (name, *names) if each not in used)

    def close(self, status: str, ended: int | None = None) -> None:
        """End the run, unless the stage continues a run that has ended already.

        status: FINISHED, FAILED or KILLED. ended: milliseconds since 1970, by default now.
        """
        if self._begins:
            # Another stage that creates the run does not know the duration of the training: log 0.
            self._client.set_terminated(self.run_id, status, self._ended or ended)

    def do(self, operation: str, arguments: dict[str, Any]) -> None:
        """Add to the run: the name of an operation of `Tracker`, and its arguments."""
        getattr(self, f"_{operation}")(**arguments)

    def _params(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        # In the form of `-S`: true, not True.
        params = [Param(k, v if isinstance(v, str) else json.dumps(v)) for k, v in values.items()]
        self._client.log_batch(self.run_id, params=params)

    def _tags(self, values: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

    def _note(self, text: str) -> None:
        """Set the description; see `Tracker.note`."""
        page = f"#/experiments/{self.experiment_id}/runs/{self.run_id}"
        self._tags({"mlflow.note.content": text.replace("<run>", page)})

    def _series(self, group: str, rows: list[dict[str, float]], joint: str = "/") -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        # Not the units seen, such as tokens: over steps, they are a straight line.
        metrics = [
            Metric(f"{group}{joint}{key}", float(value), now, int(row["step"]))
            for row in rows
            for key, value in row.items()
            if key not in COUNTED and row["step"] > self._last(f"{group}{joint}{key}")
        ]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + BATCH])
        for metric in metrics:
            self._last_step[metric.key] = metric.step

    def _last(self, key: str) -> int:
        """The last logged step of a metric; 0 if there is none."""
        if key not in self._last_step:
            known = [] if self.created else self._client.get_metric_history(self.run_id, key)
            self._last_step[key] = max((metric.step for metric in known), default=0)
        return self._last_step[key]

    def _metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Log metrics of the trained model, also on MLflow's pages of the model and of its data."""
        from mlflow.entities import Metric

        run = self._client.get_run(self.run_id)
        known, about = run.data.metrics, {}
        if run.outputs and run.outputs.model_outputs:
            about["model_id"] = run.outputs.model_outputs[0].model_id
            for used in run.inputs.dataset_inputs[:1]:
                about |= {"dataset_name": used.dataset.name, "dataset_digest": used.dataset.digest}
            of_model = self._client.get_logged_model(about["model_id"]).metrics or []
            known = {metric.key: metric.value for metric in of_model}
        now = int(time.time() * 1000)
        fresh = [
            Metric(key, float(value), now, step, **about, run_id=self.run_id)
            for key, value in values.items()
            if known.get(key) != value
        ]
        self._client.log_batch(self.run_id, metrics=fresh)

    def _data(self, meta: dict[str, Any]) -> None:
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        source = CodeDatasetSource({"source": meta["source"], "title": meta["title"]})
        digest = meta["fingerprint"][:36]
        dataset = MetaDataset(source, name=meta["source"], digest=digest)
        entity = dataset._to_mlflow_entity()
        inputs = [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])]
        try:
            self._client.log_inputs(self.run_id, inputs)
        except MlflowException as error:
            # MLflow creates the entry of a data set in two steps. If several trainings on new data
            # begin at once, one creates it and the others fail; now it exists.
            if error.error_code != "BAD_REQUEST":  # what databases refuse
                raise
            self._client.log_inputs(self.run_id, inputs)

    def _files(self, path: str, folder: str | None) -> None:
        if Path(path).is_dir():
            self._client.log_artifacts(self.run_id, path, folder)
        else:
            self._client.log_artifact(self.run_id, path, folder)

    def _model(self, name: str, packages: list[str], **artifacts: str) -> None:
        import mlflow
        from mlflow.entities import LoggedModelStatus
        from mlflow.utils import environment

        # Before it logs a model, MLflow reads what all installed packages contain, for seconds, to
        # compare the versions below with those installed: they are those installed.
        environment.warn_dependency_requirement_mismatches = lambda requirements: None
        run = self._client.get_run(self.run_id)
        # MLflow adds a model to the run before it has the files. It is ready when it has them all.
        begun = [output.model_id for output in run.outputs.model_outputs]
        if begun and self._client.get_logged_model(begun[0]).status == LoggedModelStatus.READY:
            return
        versions = records.versions()
        # Its run has a model of which an upload broke off: MLflow would add it again, and fail.
        active = nullcontext() if begun else mlflow.start_run(self.run_id)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), active:
            # MLflow advises type hints, but the signature has the same information.
            warnings.simplefilter("ignore", UserWarning)
            mlflow.pyfunc.log_model(
                name=name,
                python_model=str(Path(packages[0]) / "mlflow_model.py"),
                artifacts=artifacts | {"code": _archive(packages, Path(folder) / "code.zip")},
                params=run.data.params,
                signature=_signature(Path(artifacts["model"]), Path(artifacts["meta"])),
                model_id=begun[0] if begun else None,
                pip_requirements=[
                    f"{package}=={versions[package].split('+')[0]}" for package in SERVING
                ],
            )

    def _register(self, **arguments: Any) -> None:
        registry.register(self._client, self._client.get_run(self.run_id), **arguments)


def find(query: str, experiment_id: str) -> str | None:
    """The id of the latest run that matches a query; None if there is none."""
    import mlflow

    found = mlflow.MlflowClient().search_runs([experiment_id], query, max_results=1)
    return found[0].info.run_id if found else None


def _archive(packages: list[str], target: Path) -> str:
    """Write packages to a zip file, from which Python imports them; returns its path.

    MLflow would upload their files one by one, which takes longer than the weights.
    """
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for package in map(Path, packages):
            for file in sorted(package.rglob("*")):
                if file.is_file() and file.parent.name != "__pycache__":
                    archive.write(file, file.relative_to(package.parent))
    return str(target)


def _signature(model: Path, meta: Path) -> Any:
    """The input of the model in a folder: strings, or images (N, C, H, W) of bytes."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    from pipeline.views import view

    shape = view(read_json(model / CONFIG)["task"]).image_shape(read_json(meta))
    if shape is None:
        return ModelSignature(Schema([ColSpec("string")]))
    return ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]))
