"""Runs are restored from DVC's outputs, and reports are attached to the runs of their models."""

import os
import shutil
import subprocess
import sys

import mlflow
import pytest

from pipeline.paths import data_dir, read_json, write_json
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from pipeline.tracking import store
from tests.conftest import MODELS, ROOT, log_evaluation


@pytest.fixture
def evaluated(small, project):
    for name in ("targets.yaml", "reference"):
        source, target = ROOT / "reports" / name, project / "reports" / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    for name in MODELS:
        prepare(small, name)
        if name != "vit":  # its images stay a user's own, without targets
            meta = data_dir(name) / "meta.json"
            write_json(read_json(meta) | {"own": False}, meta)
        train(small, name, 0)
        evaluate(small, name, 0)
        log_evaluation(small, name)
    return small


def runs() -> dict[str, mlflow.entities.Run]:
    found = mlflow.search_runs([store.experiment_id()], output_format="list")
    assert len(found) == len(MODELS)  # and none for a report
    return {run.data.tags["model"]: run for run in found}


def files(run, folder: str) -> list[str]:
    found = mlflow.MlflowClient().list_artifacts(run.info.run_id, folder)
    return [os.path.basename(each.path) for each in found]


def test_a_report_is_attached_to_its_runs_once_for_each_row(evaluated, project, monkeypatch):
    for row in (None, "one", "two", "one"):
        if row:
            monkeypatch.setenv("DVC_EXP_NAME", row)
        report(evaluated)
    for name, run in runs().items():
        assert files(run, "reports") == ["one", "two", "workspace"]
        assert files(run, "reports/one") == ["metrics.json", "metrics.md", "pictures"]
        assert run.data.tags["dvc_experiment"] == "one, two"
        page = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        note = run.data.tags["mlflow.note.content"]
        assert f"[The report]({page}/artifacts/reports/one/metrics.md)" in note
        assert (f"| {name} | ours | target | verdict |" in note) == (name in ("bert", "gpt"))


def test_a_run_that_mlflow_lacks_is_restored_from_the_outputs(evaluated, project, monkeypatch):
    """A deleted run, and then a clone that only has the outputs, as after `dvc pull`."""
    before = runs()
    mlflow.MlflowClient().delete_run(before["gpt"].info.run_id)
    log_evaluation(evaluated, "gpt")
    again = runs()["gpt"]
    assert again.info.run_id != before["gpt"].info.run_id
    same_as(before["gpt"], again)
    for folder in ("data", "models", "predictions", "reports"):
        shutil.copytree(folder, project / "clone" / folder)
    monkeypatch.chdir(project / "clone")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # set by MLflow
    for _ in range(2):
        report(evaluated)
    for name, run in runs().items():
        same_as(before[name], run)
        assert run.info.status == "FINISHED"
        assert run.data.tags["restored"]


def test_a_model_brings_its_own_code(evaluated, tmp_path):
    """In a process that has another `pipeline`, as that of a later commit."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("")
    (model,) = runs()["gpt"].outputs.model_outputs
    look = f"""
import mlflow
model = mlflow.pyfunc.load_model("models:/{model.model_id}")
import pipeline, transformer
print(pipeline.__file__, transformer.__file__, len(model.predict(["the king and"])), sep="\\n")
"""
    variables = os.environ | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    answer = subprocess.check_output(
        [sys.executable, "-W", "ignore", "-c", look], cwd=tmp_path, env=variables, text=True
    )
    *files, answers = answer.splitlines()
    assert [file.partition("/artifacts/code.zip/")[2] for file in files] == [
        "pipeline/__init__.py", "transformer/__init__.py",
    ]  # fmt: skip
    assert answers == "1"


def same_as(before, after) -> None:
    """Check that the runs are equal, except for durations, which only the training knows."""
    known = {key: value for key, value in before.data.metrics.items() if "second" not in key}
    assert {k: after.data.metrics[k] for k in known} == pytest.approx(known, rel=1e-8)
    assert after.data.params == before.data.params
    name = before.data.tags["model"]
    history = mlflow.MlflowClient().get_metric_history(after.info.run_id, f"{name}/training/loss")
    assert len(history) == history[-1].step > 1
    (model,) = after.outputs.model_outputs
    assert mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    assert after.inputs.dataset_inputs[0].dataset == before.inputs.dataset_inputs[0].dataset
