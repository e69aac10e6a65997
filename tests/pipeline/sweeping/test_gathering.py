"""Experiments of a cluster are put together without training, whatever the remote does."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.sweeping import remote
from pipeline.sweeping.copies import git, snapshot
from pipeline.sweeping.gathering import GatheringJob
from pipeline.sweeping.local import Local
from pipeline.sweeping.plan import plan
from tests import repository
from tests.repository import run

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A clone whose one training is in the DVC remote and not here any more."""
    place = tmp_path_factory.mktemp("trained")
    folder = repository.make_small(
        place / "benchmark", lambda params: params.update(model_names=["gpt"])
    )
    (place / "mount").mkdir()
    run(folder, "dvc", "remote", "add", "--default", "disk", str(place / "mount" / "remote"))
    repository.save(folder, "A remote")
    run(folder, "dvc", "repro", "evaluate@gpt-0")
    run(folder, "dvc", "push", "--run-cache", "--with-deps", "evaluate@gpt-0")
    run(folder, "git", "restore", ".")
    for name in ("models", "predictions", ".checkpoints"):
        shutil.rmtree(folder / name)
    return folder


@pytest.fixture
def start(trained, monkeypatch, tmp_path) -> Callable[[str], GatheringJob]:
    """Starts the experiment of this name, while the remote is not mounted."""
    monkeypatch.chdir(trained)
    for name, value in repository.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(remote, "WAIT", 0)

    def started(name: str) -> GatheringJob:
        shutil.rmtree(trained / ".dvc" / "cache", ignore_errors=True)  # made by the last test
        taken, found = snapshot(), remote.Remote()
        made = plan(name, [("seeds=[0]",)], taken)
        assert not made.waiting  # trainings: the node's records are here
        (trained.parent / "mount").rename(trained.parent / "away")
        return GatheringJob(
            made.experiments[0], Local(tmp_path, taken, jobs=1, trains=False), found
        )

    return started


def ended(job: GatheringJob) -> bool:
    while (succeeded := job.succeeded()) is None:
        time.sleep(0.1)
    return succeeded


def test_it_waits_for_a_remote_that_goes_away_while_it_is_asked(start, trained, capsys):
    job = start("one-1")
    while "is waited for" not in capsys.readouterr().err:
        assert job.succeeded() is None
        time.sleep(0.1)
    assert "gpt, seed 0 is trained on the cluster" in job.log.read_text()
    (trained.parent / "away").rename(trained.parent / "mount")
    assert ended(job), job.log.read_text()
    assert (commit := job.finish())
    assert "models/gpt/seed-0" in git("show", f"{commit}:dvc.lock")
    assert not (trained / ".checkpoints").exists()  # nothing was trained


def test_what_is_stopped_is_not_lost(start, trained):
    job = start("stopped-1")
    job.stop()
    assert not ended(job)
    (trained.parent / "away").rename(trained.parent / "mount")
    assert not plan("stopped", [("seeds=[0]",)], snapshot()).waiting


def test_it_fails_where_the_remote_has_lost_the_results_and_they_are_made_again(start, trained):
    job = start("lost-1")
    (trained.parent / "mount" / "remote" / "files").mkdir(parents=True)
    assert not ended(job)
    assert "gpt, seed 0 is trained on the cluster" in job.log.read_text()
    assert not (trained / ".checkpoints").exists()
    assert len(plan("lost", [("seeds=[0]",)], snapshot()).waiting) == 1
