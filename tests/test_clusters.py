"""The files in deploy/ that start a training on several hosts."""

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import repository
from tests.hosts import hosts
from tests.interruption import STAGE, outputs
from tests.ports import free_port
from tests.test_run import clone

SLURM = {
    "scontrol": "echo 127.0.0.1; echo second",
    "srun": 'shift; SLURM_NODEID=1 "$@" & SLURM_NODEID=0 "$@"; first=$?; wait $! && exit $first',
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A clone with the data of GPT, and the outputs of its training by one process."""

    def change(params):
        params["gpt"]["train"]["accumulate"] = 2

    folder = clone(tmp_path_factory.mktemp("cluster") / "prepared", change)
    repository.run(folder, "dvc", "repro", "prepare@gpt")
    alone = shutil.copytree(folder, folder.with_name("alone"), symlinks=True)
    repository.run(alone, "dvc", "repro", STAGE)
    return folder, outputs(alone)


def start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    """In a process group of its own. What it prints, pytest shows if the test fails."""
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)


def require_success(processes: list[subprocess.Popen]) -> None:
    """Wait for all of them; none is left if one fails, or the test's time is over."""
    try:
        for process in processes:
            assert process.wait() == 0, shlex.join(process.args)
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("scheduler", ["slurm", "kubernetes"])
def test_two_hosts_train_what_one_process_trains(prepared, tmp_path, scheduler):
    """SLURM's two commands are replaced by what they do here; its script runs as it is."""
    folder, alone = prepared
    here = shutil.copytree(folder, tmp_path / "clone", symlinks=True)
    environment = repository.environment() | {"PORT": str(free_port())}
    if scheduler == "slurm":
        for name, text in SLURM.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        environment |= {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "two"}
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        commands = [(["bash", "deploy/slurm.sh", "gpt"], {})]
    else:
        _, job = YAML(typ="safe").load_all(here / "deploy" / "kubernetes.yaml")
        (container,) = job["spec"]["template"]["spec"]["containers"]
        environment |= {each["name"]: each["value"] for each in container["env"]}
        environment |= {"FIRST": "127.0.0.1", "PER_NODE": "1"}
        commands = [(container["command"], {"JOB_COMPLETION_INDEX": index}) for index in "01"]
    processes = [start(command, here, environment | own) for command, own in commands]
    require_success(processes)
    assert outputs(here) == alone


@pytest.mark.long
def test_two_hosts_that_share_only_a_network_train_as_one(prepared, tmp_path):
    """Each has a clone of its own, and knows the other by its name."""
    folder, alone = prepared
    settings = repository.environment() | {"NODES": "2", "FIRST": "host-0", "PER_NODE": "1"}
    with hosts(tmp_path, "host-0", "host-1") as found:
        require_success([
            start(
                host.command("deploy/node.sh", "gpt"),
                shutil.copytree(folder, tmp_path / host.name, symlinks=True),
                settings | {"NODE": str(number)},
            )
            for number, host in enumerate(found)
        ])  # fmt: skip
    assert outputs(tmp_path / "host-0") == alone
