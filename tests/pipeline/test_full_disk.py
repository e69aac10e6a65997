"""A full disk: a small file system in memory without free space."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from pipeline.errors import UserError
from pipeline.paths import REPORTS, model_dir
from pipeline.running.checkpoint import Checkpoint
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from tests.conftest import MODELS, ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@contextmanager
def small_disk(folder: Path, kilobytes: int):
    """A small file system mounted at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs"]
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use all free space."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return filler


def pipeline(params, *arguments: str) -> subprocess.CompletedProcess[str]:
    with open("params.yaml", "w") as file:
        YAML().dump(params.content(), file)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(small, project, monkeypatch):
    prepare(small, "gpt")
    train(small, "gpt", 0)
    expected = (model_dir("gpt", 0) / "model.safetensors").read_bytes()
    shutil.rmtree(project / ".checkpoints")
    save, filled = Checkpoint.save, []

    def save_and_fill(self, state):
        save(self, state)
        filled.append(fill(self.folder))

    with small_disk(project / ".checkpoints", 1000):
        monkeypatch.setattr(Checkpoint, "save", save_and_fill)
        with pytest.raises(UserError, match=r"after step 6 could not be written .*No space left"):
            train(small, "gpt", 0)
        monkeypatch.setattr(Checkpoint, "save", save)
        (folder,) = (project / ".checkpoints").glob("*/")
        assert sorted(path.name for path in folder.iterdir()) == [
            "filler", "state.pt", "training.json",
        ]  # fmt: skip
        filled[0].unlink()
        train(small, "gpt", 0)
    assert (model_dir("gpt", 0) / "model.safetensors").read_bytes() == expected


def test_a_first_checkpoint_that_does_not_fit_leaves_no_checkpoint(project):
    with small_disk(project / ".checkpoints", 100), Checkpoint("gpt", "0123") as checkpoint:
        said = r"(?s)No space left.*the previous checkpoint, if there is one"
        with pytest.raises(UserError, match=said):
            checkpoint.save({"step": 6, "model": torch.zeros(10**5)})
        assert checkpoint.load() is None


@pytest.mark.long
def test_weights_that_do_not_fit_are_written_later_without_training(small, project):
    """Training has ended before, and is not repeated."""
    prepare(small, "gpt")
    train(small, "gpt", 0)
    expected = (model_dir("gpt", 0) / "model.safetensors").read_bytes()
    shutil.rmtree(project / ".checkpoints")
    with small_disk(model_dir("gpt", 0).parent, 4):
        result = pipeline(small, "train", "--model", "gpt")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "free some space, then run the same command again" in result.stderr
    assert "Traceback" not in result.stderr
    result = pipeline(small, "train", "--model", "gpt")
    assert result.returncode == 0
    assert "continues after step 8" in result.stdout
    assert (model_dir("gpt", 0) / "model.safetensors").read_bytes() == expected


@pytest.mark.long
def test_a_report_that_does_not_fit_is_an_error(small, project):
    shutil.copytree(ROOT / "reports" / "reference", REPORTS / "reference")
    shutil.copy(ROOT / "reports" / "targets.yaml", REPORTS)
    for name in MODELS:
        prepare(small, name)
        train(small, name, 0)
        evaluate(small, name, 0)
    with small_disk(REPORTS / "pictures", 4):
        result = pipeline(small, "report")
        assert result.returncode == 1
        assert "No space left on device" in result.stderr
        assert "Traceback" not in result.stderr
    assert pipeline(small, "report").returncode == 0
    assert "GPT" in (REPORTS / "metrics.md").read_text()
