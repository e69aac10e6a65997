"""A stage exits cleanly, and exits also if something hangs."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

START = """
import threading, time
from pipeline.running.lifetime import end_with_dvc, unbroken
end_with_dvc()
"""
# The call ends only after it has printed this.
CALL = """
with unbroken():
    print("called", flush=True)
    time.sleep(0.5)
    print("finished", flush=True)
time.sleep(60)
"""
HANG = """
with unbroken():
    print("called", flush=True)
    while True:
        time.sleep(60)
"""
ERROR = """
with unbroken():
    print("called", flush=True)
    time.sleep(0.5)
    raise SystemExit("the disk is full")
"""
EXIT = """
try:
    print("called", flush=True)
    time.sleep(60)
finally:
    time.sleep(0.5)
    print("in order", flush=True)
"""


def ended(code: str, *signals: int) -> tuple[int, str, float]:
    """Exit code, output and seconds until the end of a stage that gets these signals."""
    environment = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"}
    process = subprocess.Popen(
        [sys.executable, "-c", START + code],
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    first = process.stdout.readline()
    start = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    output = first + process.communicate()[0]
    return process.returncode, output, time.monotonic() - start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_call_that_has_begun_is_finished(number):
    code, output, _ = ended(CALL, number)
    assert code == 128 + number
    assert output == "called\nstopping after the current step\nfinished\n"


def test_an_error_of_a_call_that_has_begun_is_not_lost():
    code, output, _ = ended(ERROR, signal.SIGINT)
    assert (code, output.splitlines()[-1]) == (1, "the disk is full")


def test_what_hangs_is_ended_and_does_not_claim_to_be_saved():
    code, output, seconds = ended("import pipeline.running.lifetime as it; it.GRACE = 1" + HANG,
                                  signal.SIGTERM)  # fmt: skip
    assert code == 128 + signal.SIGTERM
    assert output.splitlines() == [
        "called",
        "stopping after the current step",
        "still not finished after 1 seconds: stopped without saving",
    ]
    assert seconds >= 1  # after its grace period


def test_impatience_does_not_disturb_the_end():
    code, output, _ = ended(EXIT, signal.SIGINT, signal.SIGINT, signal.SIGTERM)
    assert code == 128 + signal.SIGINT
    assert output == "called\nstopped\nin order\n"


def test_a_stage_whose_dvc_has_gone_does_not_begin():
    command = [sys.executable, "-c", START + "print('began')"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_STAGE": "train@gpt"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


def test_a_library_that_waits_for_ever_ends_with_the_sweep():
    """Python's handler of a signal does not run meanwhile. The sweep is a process of its own."""
    wait = """
import ctypes, os, subprocess
from pipeline.running import lifetime
lifetime.GRACE = 1
sweep = subprocess.Popen(["sleep", "2"])
os.environ["SWEEP_PROCESS"] = str(sweep.pid)
lifetime.end_with_dvc()
print("called", flush=True)
library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
for _ in range(2):
    library.pthread_mutex_lock(mutex)
"""
    code, output, _ = ended(wait)
    assert code == 128 + signal.SIGTERM
    assert output.endswith("still not finished after 1 seconds: stopped without saving\n")
