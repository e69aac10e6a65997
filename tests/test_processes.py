"""`PROCESSES=4 dvc repro`: a training that is killed goes on with another number of processes."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import repository
from tests.interruption import STAGE, STEPS, outputs, runs, series

RECIPE = {"steps": STEPS, "batch_size": 8, "accumulate": 4, "evaluate_every": 100,
          "log_every": 50, "checkpoint_every": 1}  # fmt: skip


def start(folder: Path, processes: int) -> subprocess.Popen:
    return subprocess.Popen(
        ["dvc", "repro", STAGE],
        cwd=folder,
        env=repository.environment() | {"PROCESSES": str(processes)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ranks(dvc: subprocess.Popen) -> dict[int, psutil.Process]:
    """The processes of the training that `dvc` runs, when it has begun to save."""
    folder = Path(psutil.Process(dvc.pid).cwd())
    begun = time.time()
    while not any(f.stat().st_mtime > begun for f in (folder / ".checkpoints").glob("*/state.pt")):
        assert dvc.poll() is None, dvc.stdout.read()
        time.sleep(0.05)
    children = psutil.Process(dvc.pid).children(recursive=True)
    found = {child.environ().get("RANK"): child for child in children}
    return {int(rank): child for rank, child in found.items() if rank}


def record(folder: Path) -> dict[str, Any]:
    (file,) = (folder / ".records").glob("train-*.json")
    return json.loads(file.read_text())


@pytest.mark.long
def test_a_training_killed_with_four_processes_goes_on_with_two_and_with_one(tmp_path):
    killed = repository.make_small(
        tmp_path / "killed", lambda params: params["gpt"]["train"].update(RECIPE)
    )
    repository.run(killed, "dvc", "repro", "prepare@gpt")
    whole = shutil.copytree(killed, tmp_path / "whole", symlinks=True)
    repository.run(whole, "dvc", "repro", STAGE)

    four = start(killed, 4)
    found = ranks(four)
    assert sorted(found) == [0, 1, 2, 3]
    found[2].kill()
    printed, _ = four.communicate()
    assert four.returncode and "Traceback" not in printed, printed
    assert f"id {found[2].pid}) ended, so the others stop; the same command continues" in printed
    assert "error: process 2 of 4 (" in printed and printed.count("error: ") == 1, printed
    assert psutil.wait_procs(found.values(), timeout=30)[1] == []

    two = start(killed, 2)
    found = ranks(two)
    os.killpg(two.pid, signal.SIGKILL)  # `dvc` and the launcher, whose children notice it
    printed, _ = two.communicate()
    assert "gpt: continues after step" in printed
    assert psutil.wait_procs(found.values(), timeout=30)[1] == []

    assert "gpt: continues after step" in repository.run(killed, "dvc", "repro", STAGE)
    assert outputs(killed) == outputs(whole)
    (run,) = runs(killed)
    assert run.info.status == "FINISHED"
    assert series(run, "gpt/training/loss") == list(range(1, STEPS + 1))

    # The number of processes changes nothing that DVC tracks, and stands in the record alone.
    shutil.rmtree(killed / ".records")
    (killed / "dvc.lock").unlink()
    shutil.rmtree(killed / ".dvc" / "cache" / "runs")
    shutil.rmtree(killed / "models")
    shutil.rmtree(killed / ".checkpoints")
    repository.run(killed, "dvc", "repro", "prepare@gpt")
    printed, _ = (again := start(killed, 4)).communicate()
    assert again.returncode == 0, printed
    assert outputs(killed) == outputs(whole)
    assert record(killed)["processes"] == 4
    assert record(whole)["processes"] == 1


@pytest.mark.long
def test_a_number_of_processes_that_does_not_fit_starts_nothing(tmp_path):
    folder = repository.make_small(tmp_path / "benchmark")
    repository.run(folder, "dvc", "repro", "prepare@gpt")
    printed, _ = start(folder, 4).communicate()
    assert "error: 4 processes cannot share the 1 micro-batches of a step" in printed
    assert not (folder / ".checkpoints").exists() and not (folder / "models").exists()
