"""Names of runs: unique, and they show what was changed."""

import shutil
import subprocess

import mlflow
import pytest

from pipeline.params import validate
from pipeline.tracking import Tracker
from pipeline.tracking.identity import identity
from tests.conftest import ROOT, with_profile


@pytest.fixture
def commit(project, monkeypatch):
    """A clone whose commit has params.yaml; returns the short name of the commit."""
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    for name in ("params.yaml", "profile"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, project / name)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], check=True)
    return subprocess.check_output(["git", "rev-parse", "HEAD"], text=True)[:7]


def named(raw, model="gpt", seed=0) -> str:
    return identity("train", validate(raw), model, seed, "an-id").name


def test_a_name_has_what_was_changed(raw, commit):
    assert named(raw) == f"gpt · {commit}"
    raw["gpt"]["train"]["lr"] = 0.01
    raw["model"]["n_layer"] = 6
    raw["bert"]["train"]["lr"] = 0.1  # of another model
    assert named(raw) == f"gpt lr=0.01 n_layer=6 · {commit}"
    assert named(raw, "bert") == f"bert lr=0.1 n_layer=6 · {commit}"
    assert named(raw, "vit") == f"vit n_layer=6 · {commit}"


def test_a_name_has_removed_keys_profile_seed_and_the_number_of_further_changes(raw, commit):
    del raw["gpt"]["model"]["dropout"]
    assert named(raw) == f"gpt ~dropout · {commit}"
    smoke = with_profile(raw, "smoke")
    smoke["seeds"] = [0, 1]
    assert named(smoke, "vit", 1) == f"vit smoke · seed 1 · {commit}"
    smoke["vit"]["train"] |= {"lr": 0.1, "matrix_lr": 0.1, "batch_size": 16, "epochs": 2}
    three = "epochs=2 batch_size=16 lr=0.1"
    assert named(smoke, "vit", 1) == f"vit smoke {three} +1 · seed 1 · {commit}"


def test_a_name_has_the_row_of_dvc_exp_show(raw, commit, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-tune")
    assert named(raw) == "gpt · puffy-tune"


@pytest.mark.parametrize("text", ['data/own/it\'s "mine" `x`\\ % _.txt', "data/own/" + "x" * 300])
def test_a_name_is_short_and_safe_in_a_query(raw, commit, text):
    raw["gpt"]["data"]["text"] = text
    assert len(named(raw)) < 60
    for _ in range(2):
        with Tracker("train", validate(raw), "gpt", 0) as tracker:
            pass
        assert tracker.run_id is not None


def test_ten_equal_trainings_have_ten_names(small, project):
    names = set()
    for _ in range(10):
        with Tracker("train", small, "gpt", 0) as tracker:
            pass
        names.add(mlflow.get_run(tracker.run_id).info.run_name)
    assert names == {"gpt", *(f"gpt · {number}" for number in range(2, 11))}
