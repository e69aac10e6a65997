"""Checkpoints: atomic, locked, and specific to parameters, data and code."""

import os
import pickle
import subprocess
import sys
import time

import pytest
import torch

from pipeline import deciding
from pipeline.errors import UserError
from pipeline.params import validate
from pipeline.paths import data_dir, model_dir, read_json
from pipeline.running import checkpoint as checkpoints
from pipeline.running.checkpoint import Checkpoint, identity
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from tests.conftest import ROOT

PYTHON = (sys.executable, "-c")
ENV = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.2)


def test_what_is_saved_is_loaded(project):
    with Checkpoint("gpt", "0123") as checkpoint:
        assert checkpoint.load() is None
        checkpoint.save({"step": 3, "model": {"a": torch.arange(3)}})
        assert checkpoint.load()["step"] == 3
        assert checkpoint.load()["model"]["a"].tolist() == [0, 1, 2]
        assert not list(checkpoint.folder.glob("*.tmp"))


def test_in_a_sweep_the_other_trainer_waits_and_finds_the_last_checkpoint(project):
    code = (
        "from pipeline.running import checkpoint\n"
        "checkpoint.PATIENCE = 0.2\n"
        "with checkpoint.Checkpoint('gpt', '0123') as other: print(other.load()['step'])"
    )
    sweep = ENV | {"SWEEP_PROCESS": str(os.getpid())}
    with Checkpoint("gpt", "0123") as checkpoint:
        other = subprocess.Popen([*PYTHON, code], stdout=subprocess.PIPE, text=True, env=sweep)
        assert other.stdout.readline().endswith(": waiting for it\n")
        checkpoint.save({"step": 3})
    assert other.communicate() == ("3\n", None)


def test_the_other_trainer_is_locked_out_and_reported_whom(project, impatient):
    with (
        Checkpoint("gpt", "0123"),
        pytest.raises(UserError, match=rf"process {os.getpid()} is training the same model"),
        Checkpoint("gpt", "0123"),
    ):
        pass
    with Checkpoint("gpt", "0123"), Checkpoint("gpt", "4567"), Checkpoint("bert", "0123"):
        pass  # others are not locked


def test_a_trainer_waits_a_little_for_an_orphan_to_end(project):
    code = (
        "import time; from pipeline.running.checkpoint import Checkpoint\n"
        "with Checkpoint('gpt', '0123'): print('held', flush=True); time.sleep(1)"
    )
    with subprocess.Popen([*PYTHON, code], stdout=subprocess.PIPE, text=True, env=ENV) as orphan:
        assert orphan.stdout.readline() == "held\n"
        with Checkpoint("gpt", "0123"):
            pass


def test_a_dead_trainer_holds_nothing(project, impatient):
    code = (
        "import os, signal; from pipeline.running.checkpoint import Checkpoint\n"
        "with Checkpoint('gpt', '0123'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([*PYTHON, code], env=ENV).returncode == -9
    with Checkpoint("gpt", "0123") as checkpoint:
        checkpoint.save({"step": 1})


def test_the_training_id_outlives_an_interruption(project):
    with Checkpoint("gpt", "0123") as first:
        pass
    with Checkpoint("gpt", "0123") as second:
        pass
    assert first.training_id == second.training_id
    second.remove()
    with Checkpoint("gpt", "0123") as third:
        pass
    assert third.training_id != first.training_id


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("kind", ["code", "pickle", "garbage", "cut off", "empty"])
def test_a_checkpoint_that_is_none_is_refused_and_runs_nothing(project, kind):
    with Checkpoint("gpt", "0123") as checkpoint:
        file = checkpoint.folder / checkpoints.STATE
        if kind == "code":
            torch.save({"step": Malicious()}, file)
        elif kind == "pickle":
            file.write_bytes(pickle.dumps(Malicious(), protocol=2))
        elif kind == "garbage":
            file.write_bytes(b"<html>" * 100)
        elif kind == "cut off":
            checkpoint.save({"step": 1, "model": torch.zeros(10_000)})
            file.write_bytes(file.read_bytes()[:-1000])
        else:
            file.write_bytes(b"")
        with pytest.raises(UserError, match=r"state.pt: not a checkpoint of this program"):
            checkpoint.load()
    assert not (project / "owned").exists()


def test_abandoned_checkpoints_do_not_pile_up(project):
    with Checkpoint("gpt", "in-use") as used:
        for number in range(checkpoints.KEPT + 5):
            with Checkpoint("gpt", f"{number:02}") as checkpoint:
                pass
            hour_by_hour = time.time() - 3600 * (100 - number)
            for path in (checkpoint.folder / checkpoints.TRAINING, checkpoint.folder):
                os.utime(path, (hour_by_hour, hour_by_hour))
        abandoned = checkpoints.prune()
        left = {folder.name for folder in (project / ".checkpoints").glob("*/")}
    assert used.folder.name in left
    # Those in use do not count: a training with many seeds has many.
    assert left - {used.folder.name} == {
        f"gpt-{number:02}" for number in range(5, checkpoints.KEPT + 5)
    }
    assert len(abandoned) == checkpoints.KEPT + 5
    assert used.training_id not in abandoned


def test_a_checkpoint_in_use_is_not_removed_as_of_no_more_use(project):
    with Checkpoint("gpt", "0123") as checkpoint:
        checkpoint.save({"step": 1})
        Checkpoint("gpt", "0123").remove()  # called by the evaluation of another run
        assert checkpoint.load() == {"step": 1}
    checkpoint.remove()
    assert not checkpoint.folder.exists()


def test_a_training_that_is_refused_removes_nothing(small, project, impatient):
    prepare(small, "vit")
    train(small, "vit", 0)
    key = identity(small, "vit", 0, read_json(data_dir("vit") / "meta.json")["fingerprint"])
    with (
        Checkpoint("vit-0", key),
        pytest.raises(UserError, match="is training the same model"),
    ):
        train(small, "vit", 0)
    assert (model_dir("vit", 0) / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gpt.train.lr", 0.123),
        ("gpt.objective.label_smoothing", 0.2),
        ("model.n_layer", 7),
        ("threads", 3),
        ("device", "cpu"),
    ],
)
def test_the_identity_knows_the_parameters(raw, path, value):
    before = identity(validate(raw), "gpt", 0, "data")
    section = raw
    *sections, key = path.split(".")
    for name in sections:
        section = section[name]
    section[key] = value
    assert identity(validate(raw), "gpt", 0, "data") != before


def test_the_identity_knows_seed_data_and_code(raw, tmp_path, monkeypatch):
    params = validate(raw)
    before = identity(params, "gpt", 0, "data")
    assert identity(params, "gpt", 0, "data") == before
    assert identity(params, "gpt", 1, "data") != before
    assert identity(params, "gpt", 0, "other") != before
    raw["bert"]["train"]["lr"] = 0.123
    assert identity(validate(raw), "gpt", 0, "data") == before  # does not depend on it
    (tmp_path / "code.py").write_text("pass")
    code = [*deciding.code(), tmp_path]
    monkeypatch.setattr(deciding, "code", lambda: code)
    assert identity(params, "gpt", 0, "data") != before
