"""Parallel trainings in the workspace and in a queue, with one database and one cache."""

import subprocess
import time

import pytest

from tests import repository
from tests.interruption import runs
from tests.repository import run

ACTIVE = ("Running", "Queued")
TRAINED = ("bert", "gpt", "vit")  # each by a process of its own; more wait too long for DVC's lock


@pytest.mark.long
def test_three_trainers_and_a_queue_all_finish(tmp_path):
    folder = repository.make_small(tmp_path / "benchmark")
    prepared = [f"prepare@{name}" for name in TRAINED]
    run(folder, "dvc", "repro", *prepared)
    repository.save(folder, "The data")
    run(folder, "dvc", "exp", "run", "--queue", "-S", "gpt.train.batch_size=4,16", "train@gpt-0")
    run(folder, "dvc", "queue", "start", "--jobs", "2")
    trainers = [
        subprocess.Popen(
            ["dvc", "repro", "--single-item", f"train@{name}-0"],
            cwd=folder,
            env=repository.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in TRAINED
    ]
    for trainer in trainers:
        output, _ = trainer.communicate()
        assert trainer.returncode == 0, output
        assert "warning: MLflow" not in output, output
    while any(word in (status := run(folder, "dvc", "queue", "status")) for word in ACTIVE):
        time.sleep(0.5)
    assert "Failed" not in status
    names = [trained.data.tags["model"] for trained in runs(folder)]
    assert sorted(names) == ["bert", "gpt", "gpt", "gpt", "vit"]
    assert {trained.info.status for trained in runs(folder)} == {"FINISHED"}
    # dvc.lock has all three.
    assert "up to date" in run(folder, "dvc", "status", *(f"train@{name}-0" for name in TRAINED))
