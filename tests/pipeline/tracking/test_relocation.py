"""A clone that is moved or copied keeps its runs, their files and their models."""

import shutil

import mlflow
import numpy as np
import pytest

from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.tracking import Tracker, store
from pipeline.tracking.relocation import relocate
from tests.conftest import log_evaluation


@pytest.fixture
def trained(small, project, monkeypatch):
    """A clone with a run and its model in MLflow."""
    clone = project / "100% clone"
    clone.mkdir()
    for name in ("images", "text.txt"):
        (project / name).rename(clone / name)
    monkeypatch.chdir(clone)
    prepare(small, "vit")
    train(small, "vit", 0)
    evaluate(small, "vit", 0)
    log_evaluation(small, "vit")
    return clone


def enter(clone, monkeypatch) -> None:
    """Enter the clone like a new process, without the address that MLflow has set in this one."""
    monkeypatch.chdir(clone)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


def place_of(run, name) -> str:
    """The address of a file of the run; checks that it can be read."""
    address = f"{run.info.artifact_uri}/{name}"
    assert mlflow.artifacts.load_text(address)
    return address


def check_runs(small, clone) -> None:
    """Check that old files and models are found, and that new ones are inside the clone."""
    experiment = store.experiment_id()
    (old,) = mlflow.search_runs([experiment], output_format="list")
    assert place_of(old, "predictions/metrics.json").startswith(clone.as_uri())
    (model,) = old.outputs.model_outputs
    images = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    assert len(mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(images)) == 2
    with Tracker("train", small, "gpt", 0) as tracker:
        tracker.files(clone / "text.txt")
    new = mlflow.get_run(tracker.run_id)
    assert place_of(new, "text.txt").startswith(clone.as_uri())


def test_a_clone_that_is_moved_keeps_its_runs(small, trained, monkeypatch):
    moved = trained.rename(trained.with_name("moved ü"))
    enter(moved, monkeypatch)
    check_runs(small, moved)
    assert not trained.exists()  # and not created again


def test_a_clone_that_is_copied_has_runs_of_its_own(small, trained, monkeypatch):
    before = sorted(trained.rglob("*"))
    copy = shutil.copytree(trained, trained.with_name("copy"))
    enter(copy, monkeypatch)
    check_runs(small, copy)
    assert sorted(trained.rglob("*")) == before


def test_a_database_in_its_place_is_left_alone(trained):
    before = (trained / "mlflow.db").read_bytes()
    assert not relocate(store.database(), store.EXPERIMENT, store.artifacts())
    assert (trained / "mlflow.db").read_bytes() == before
    assert not relocate(trained / "none.db", store.EXPERIMENT, store.artifacts())
    assert not (trained / "none.db").exists()
