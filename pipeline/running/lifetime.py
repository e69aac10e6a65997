"""Ends a stage on a signal, and when the `dvc`, sweep or launcher that runs it has ended."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

from pipeline.paths import SWEEP_PROCESS
from pipeline.running import records

# Seconds for a clean exit, as after kill -9 from then on. Enough for a training step, an evaluation
# and a checkpoint; less than most schedulers wait.
GRACE = 10
_signal = 0  # the first signal received
_deadline = math.inf  # by the monotonic clock
_unbroken = 0  # number of running calls that must finish first


def end_with_dvc() -> None:
    """Exit cleanly on SIGTERM and Ctrl-C, and when the `dvc` that runs this process has ended, the
    sweep that runs this `dvc`, or the launcher of several processes.

    If `dvc` is killed, its stage keeps running and would write while the next `dvc repro` starts
    another.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    dvc = records.dvc_process()
    if dvc:
        threading.Thread(target=_follow, args=(dvc,), daemon=True).start()
    elif "DVC_STAGE" in os.environ:  # `dvc` has already ended
        _end()
    if SWEEP_PROCESS in os.environ:
        try:
            sweep = psutil.Process(int(os.environ[SWEEP_PROCESS]))
            threading.Thread(target=_follow, args=(sweep,), daemon=True).start()
        except psutil.NoSuchProcess:
            _end()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        launcher = psutil.Process().parent()
        assert launcher is not None
        threading.Thread(target=_follow, args=(launcher,), daemon=True).start()


@contextmanager
def unbroken() -> Iterator[None]:
    """Delay a signal until the code inside has finished, at most GRACE seconds. Errors inside are
    raised as usual.

    A library that is interrupted within a call may hang, or keep a lock, in the next one.
    """
    global _unbroken
    _unbroken += 1
    try:
        yield
    finally:
        _unbroken -= 1
    if _signal and not _unbroken:
        sys.exit(128 + _signal)


def stopping() -> bool:
    """Whether a signal has arrived, which an `unbroken` call may delay."""
    return bool(_signal)


def end_with_others() -> None:
    """End as on SIGTERM, after `unbroken` calls: another process of the training received a signal,
    by which all have stopped."""
    if not _signal:
        _begin_to_end(signal.SIGTERM)


def seconds_left() -> float:
    """Until the process ends, after a signal; infinite without one."""
    return _deadline - time.monotonic()


def _follow(parent: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        # Not wait(), which returns only after another process has read the parent's exit code.
        while parent.status() != psutil.STATUS_ZOMBIE and parent.is_running():
            time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    if not _signal:  # the main thread waits in a library, as for a lost process, and sees none
        _give_up(signal.SIGTERM)


def _end(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    if _signal:  # already stopping
        return
    _begin_to_end(number)
    if _unbroken:
        _print("stopping after the current step")
    else:
        _print("stopped")
        sys.exit(128 + number)


def _begin_to_end(number: int) -> None:
    global _signal, _deadline
    _signal, _deadline = number, time.monotonic() + GRACE
    threading.Thread(target=_end_after_grace, daemon=True).start()


def _end_after_grace() -> None:
    threading.Event().wait(GRACE)
    _give_up(_signal)


def _give_up(number: int) -> None:
    _print(f"still not finished after {GRACE} seconds: stopped without saving")
    os._exit(128 + number)


def _print(text: str) -> None:
    if os.environ.get("RANK", "0") != "0":  # the first process of a training says it for all
        return
    # Not print: this may interrupt another print, which Python does not allow.
    os.write(2, f"{text}\n".encode())
