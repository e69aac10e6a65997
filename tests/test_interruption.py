"""After any kill, `dvc repro` and `dvc exp run` end with the same result as without."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from ruamel.yaml import YAML

from tests import interruption, repository
from tests.interruption import STAGE, STEPS, WAYS, interrupt, outputs, runs, series, steps_resumed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A clone with the data. Tests train in copies of it."""
    return interruption.prepare(tmp_path_factory.mktemp("prepared") / "benchmark")


@pytest.fixture(scope="module")
def whole(prepared, tmp_path_factory):
    """An uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole") / "benchmark"
    shutil.copytree(prepared, folder, symlinks=True)
    repository.run(folder, "dvc", "repro", STAGE)
    return folder


@pytest.fixture
def killed(prepared, tmp_path):
    """A clone for interrupted trainings."""
    return shutil.copytree(prepared, tmp_path / "benchmark", symlinks=True)


def test_kills_leave_no_trace(whole, killed):
    tally, _ = interrupt(killed, ["dvc", "repro", STAGE], len(WAYS), seed=1)
    print(tally)
    assert outputs(killed) == outputs(whole)
    assert tally.resumed > 0
    (run,) = runs(killed)
    assert run.info.status == "FINISHED"
    for key in ("gpt/training/loss", "gpt/training/grad_norm"):
        assert series(run, key) == list(range(1, STEPS + 1))
    assert series(run, "gpt.loss") == [100, 200, 300, 400]
    assert "up to date" in repository.run(killed, "dvc", "status", STAGE)


@pytest.mark.parametrize(("number", "whom"), [(signal.SIGINT, "all"), (signal.SIGTERM, "dvc")])
def test_a_signal_before_the_first_checkpoint_loses_nothing(whole, tmp_path, number, whom):
    """Ctrl-C, which all processes of a terminal get, and a batch system's signal to `dvc`."""
    folder = interruption.prepare(tmp_path / "benchmark", checkpoint_every=10 * STEPS)
    command = ["dvc", "repro", STAGE]
    dvc = subprocess.Popen(
        command,
        cwd=folder,
        env=repository.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output = ""
    while not output.startswith("step "):
        output = dvc.stdout.readline()
        assert output, "it ended before its first line"
    (os.killpg if whom == "all" else os.kill)(dvc.pid, number)
    output, _ = dvc.communicate()  # waits for the trainer, too
    (saved,) = re.findall(r"saved after step (\d+)", output)
    assert steps_resumed(repository.run(folder, *command)) == [int(saved)]
    ours, theirs = outputs(folder), outputs(whole)
    assert ours.pop("dvc.lock") != theirs["dvc.lock"]  # it contains the parameters
    assert ours.items() < theirs.items()


@pytest.mark.parametrize("way", ["exp run", "exp run --temp", "queue"])
def test_an_experiment_goes_on_as_well(whole, killed, way):
    """A killed experiment continues from its checkpoint to the same result."""
    if way == "queue":
        _run_in_the_queue(killed, kill=True)
        output = _run_in_the_queue(killed, kill=False)
    else:
        command = ["dvc", *way.split(), "--name", "again", STAGE]
        _, output = interrupt(killed, command, 1, seed=2, early=0.0)
    assert steps_resumed(output)
    (run,) = runs(killed)
    assert run.data.tags["dvc_experiment"] == "again"
    assert series(run, "gpt/training/loss") == list(range(1, STEPS + 1))
    assert run.info.status == "FINISHED"
    references = repository.run(killed, "git", "for-each-ref", "--format=%(refname)", "refs/exps")
    (experiment,) = [line for line in references.splitlines() if line.endswith("/again")]
    lock = YAML(typ="safe", pure=True).load(
        repository.run(killed, "git", "show", f"{experiment}:dvc.lock")
    )
    assert json.dumps(lock["stages"][STAGE], sort_keys=True) == outputs(whole)["dvc.lock"]


def _run_in_the_queue(folder, kill: bool) -> str:
    """Queue the experiment, wait for its end, and return its log."""
    repository.run(folder, "dvc", "exp", "run", "--queue", "--name", "again", STAGE)
    # It returns some seconds after its worker has started, which may be too late for a kill.
    start = subprocess.Popen(["dvc", "queue", "start"], cwd=folder, env=repository.environment())
    if kill:
        while not (saved := list((folder / ".checkpoints").glob("*/state.pt"))):
            time.sleep(0.05)
        trainer = json.loads(saved[0].with_name("training.json").read_text())["pid"]
        os.kill(trainer, signal.SIGKILL)
    assert start.wait() == 0
    ended = ("Failed", "Success")
    while not any(w in (status := repository.run(folder, "dvc", "queue", "status")) for w in ended):
        # A previous worker may have stopped without taking the task.
        if "Queued" in status and "0 active, 0 idle" in status:
            repository.run(folder, "dvc", "queue", "start")
        time.sleep(0.5)
    assert ("Failed" if kill else "Success") in status
    log = repository.run(folder, "dvc", "queue", "logs", "again")
    repository.run(folder, "dvc", "queue", "remove", "--all")
    return log
