"""`PROCESSES=4 dvc repro`: a training that is killed goes on with another number of processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import repository
from tests.interruption import STAGE, outputs, runs, series

STEPS = 150
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


def training(dvc: subprocess.Popen) -> list[psutil.Process]:
    """The processes of the stage that `dvc` has started, when a checkpoint is saved."""
    folder = Path(psutil.Process(dvc.pid).cwd())
    begun = time.time()
    while not any(f.stat().st_mtime > begun for f in (folder / ".checkpoints").glob("*/state.pt")):
        assert dvc.poll() is None, dvc.stdout.read()
        time.sleep(0.02)
    found = psutil.Process(dvc.pid).children(recursive=True)
    return [child for child in found if command(child)[1:4] == ["-m", "pipeline", "train"]]


def command(process: psutil.Process) -> list[str]:
    """None of what a stage asks in passing, such as git, which may have ended already."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def ranks(dvc: subprocess.Popen) -> dict[int, psutil.Process]:
    """The same, of those that train together."""
    found = {child.environ().get("RANK"): child for child in training(dvc)}
    return {int(rank): child for rank, child in found.items() if rank}


def record(folder: Path) -> dict[str, Any]:
    (file,) = (folder / ".records").glob("train-*.json")
    return json.loads(file.read_text())


@pytest.mark.long
@pytest.mark.parametrize("sharded", [False, True])
def test_a_training_killed_with_four_processes_goes_on_with_one_and_with_two(tmp_path, sharded):
    """To the same bytes, of dvc.lock too. The number of processes stands in the record alone."""
    recipe = RECIPE | {"fully_shard": sharded}
    killed = repository.make_small(
        tmp_path / "killed", lambda params: params["gpt"]["train"].update(recipe)
    )
    repository.run(killed, "dvc", "repro", "prepare@gpt")
    whole = shutil.copytree(killed, tmp_path / "whole", symlinks=True)
    repository.run(whole, "dvc", "repro", STAGE)

    four = start(killed, 4)
    found = ranks(four)
    assert sorted(found) == [0, 1, 2, 3]
    found[2].kill()
    printed, _ = four.communicate(timeout=60)  # the others end within seconds
    assert four.returncode and "Traceback" not in printed, printed
    assert f"error: process 2 of 4 ({socket.gethostname()}, id {found[2].pid}) ended" in printed
    assert printed.count("error: ") == 1, printed
    assert psutil.wait_procs(found.values(), timeout=30)[1] == []

    one = start(killed, 1)
    (trainer,) = training(one)
    os.killpg(one.pid, signal.SIGKILL)
    assert "gpt: continues after step" in one.communicate()[0]
    trainer.wait(30)

    two = start(killed, 2)
    found = ranks(two)
    os.killpg(two.pid, signal.SIGKILL)  # `dvc` and the launcher, whose children notice it
    assert "gpt: continues after step" in two.communicate()[0]
    assert psutil.wait_procs(found.values(), timeout=30)[1] == []

    printed, _ = (last := start(killed, 2)).communicate()
    assert last.returncode == 0 and "gpt: continues after step" in printed
    assert outputs(killed) == outputs(whole)
    (run,) = runs(killed)
    assert run.info.status == "FINISHED"
    assert series(run, "gpt/training/loss") == list(range(1, STEPS + 1))
    assert record(killed)["processes"] == 2
    assert record(whole)["processes"] == 1


@pytest.mark.long
def test_the_worker_of_a_queue_trains_on_several_processes(tmp_path):
    folder = repository.make_small(
        tmp_path / "benchmark", lambda params: params["gpt"]["train"].update(accumulate=2)
    )
    repository.run(folder, "dvc", "repro", "prepare@gpt")
    repository.save(folder, "The data")
    repository.run(folder, "dvc", "exp", "run", "--queue", STAGE)
    environment = repository.environment() | {"PROCESSES": "2"}
    subprocess.run(["dvc", "queue", "start"], cwd=folder, env=environment, check=True)
    while "Success" not in (status := repository.run(folder, "dvc", "queue", "status")):
        assert "Failed" not in status
        time.sleep(0.5)
    assert record(folder)["processes"] == 2


@pytest.mark.long
def test_a_number_of_processes_that_does_not_fit_starts_nothing(tmp_path):
    folder = repository.make_small(tmp_path / "benchmark")
    repository.run(folder, "dvc", "repro", "prepare@gpt")
    printed, _ = start(folder, 4).communicate()
    assert "error: 4 processes cannot share the 1 micro-batches of a step" in printed
    assert not (folder / ".checkpoints").exists() and not (folder / "models").exists()
