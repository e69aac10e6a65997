"""The processes of a training end together, also where one of them is only silent."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.conftest import ROOT
from tests.hosts import hosts
from tests.ports import free_port

BEGIN = """
import time, torch
from pipeline.running import peers
from pipeline.running.joining import joined
peers.BEAT, peers.MISSED = 0.2, 15
with joined() as processes:
    print("together", flush=True)
"""
EXCHANGE = """
    while True:
        processes.summed([torch.ones(100)])
"""
# One is slow, and does its last part before the other one.
SLOW = """
    time.sleep(0 if processes.first else 8)
    processes.summed([torch.ones(100)])
    time.sleep(4 if processes.first else 0)
"""


@contextmanager
def together(*commands: list[str], address: str = "127.0.0.1") -> Iterator[list[subprocess.Popen]]:
    """Processes of a training that have met. commands: in which each runs, such as on a host."""
    port = str(free_port())
    with ExitStack() as stack:
        found = []
        for rank, command in enumerate(commands):
            variables = {
                "RANK": rank, "WORLD_SIZE": len(commands), "MASTER_ADDR": address,
                "MASTER_PORT": port, "PYTHONPATH": ROOT, "TORCH_CPP_LOG_LEVEL": "ERROR",
            }  # fmt: skip
            process = stack.enter_context(subprocess.Popen(
                command, env=os.environ | {key: str(value) for key, value in variables.items()},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            ))  # fmt: skip
            stack.callback(process.kill)
            found.append(process)
        for process in found:
            assert process.stdout.readline() == "together\n"
        yield found


def python(code: str) -> list[str]:
    return [sys.executable, "-c", BEGIN + code]


@pytest.mark.parametrize("frozen", [0, pytest.param(2, marks=pytest.mark.long)])
def test_a_frozen_process_is_named_and_the_others_end(frozen):
    with together(*[python(EXCHANGE)] * 3) as found:
        lost = found.pop(frozen)
        lost.send_signal(signal.SIGSTOP)
        printed = [process.communicate()[0] for process in found]
        assert [process.returncode for process in found] == [1, 1]
    here = re.escape(f"({socket.gethostname()}, id {lost.pid})")
    assert re.fullmatch(
        f"error: process {frozen} of 3 {here} gave no sign of life for 3 seconds, so the others "
        "stop; the same command continues from the last checkpoint\n", "".join(printed)
    )  # fmt: skip


@pytest.mark.long
def test_one_that_is_slow_or_done_is_not_lost_and_all_may_be_stopped_for_a_while():
    with together(*[python(SLOW)] * 2) as found:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in found:
                process.send_signal(number)
            time.sleep(4)
        assert [process.communicate()[0] for process in found] == ["", ""]
        assert [process.returncode for process in found] == [0, 0]


def test_an_error_that_only_another_process_has_is_reported_by_it():
    code = """
    peers.ANSWER = 1
    if not processes.first:
        raise UserError("the disk is full")
    processes.gathered(1)
"""
    with together(*[python("    from pipeline.errors import UserError" + code)] * 2) as found:
        printed = [process.communicate()[0] for process in found]
        assert [process.returncode for process in found] == [1, 1]
    here = re.escape(f"({socket.gethostname()}, id {found[1].pid})")
    assert printed[0] == ""
    assert re.fullmatch(f"error: process 1 of 2 {here}: the disk is full\n", printed[1])


def test_an_error_within_an_exchange_accuses_no_process_that_runs():
    code = """
    peers.ANSWER = 1
    if processes.first:
        time.sleep(3)
    else:
        with processes.exchange():
            raise RuntimeError("can't allocate memory")
"""
    with together(*[python(code)] * 2) as found:
        printed = found[1].communicate()[0]
        assert found[1].returncode == 1
    assert printed.endswith("RuntimeError: can't allocate memory\n")
    assert "error: process" not in printed


@pytest.mark.long
@pytest.mark.parametrize("lost", [0, 1])
def test_a_host_that_is_cut_off_is_named(tmp_path, lost):
    with hosts(tmp_path, "one", "two") as found:
        commands = [host.command(*python(EXCHANGE)) for host in found]
        with together(*commands, address=found[0].address) as processes:
            found[lost].cut_off()
            left = processes[1 - lost]
            printed = left.communicate()[0]
            assert left.returncode == 1
    assert re.fullmatch(
        rf"error: process {lost} of 2 \({found[lost].name}, id \d+\) gave no sign of life .*\n",
        printed,
    )
