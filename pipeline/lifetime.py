"""When a stage has to end: on a signal, and when the `dvc` that runs it is gone."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

from pipeline import records

# Seconds to end in good order; what hangs longer ends as if by kill -9. Enough for a step of
# training, an evaluation and a checkpoint; less than most schedulers wait.
GRACE = 10
_signal = 0  # the first one that came
_unbroken = 0  # how many calls there are that it has to wait for


def end_with_dvc() -> None:
    """End in good order on SIGTERM and Ctrl-C, and when the `dvc` that runs this process has ended.

    A `dvc` that is killed leaves its stage running, which would go on writing while the next
    `dvc repro` starts another.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    dvc = records.dvc_process()
    if dvc:
        threading.Thread(target=_follow, args=(dvc,), daemon=True).start()
    elif "DVC_STAGE" in os.environ:  # it ended before this process had a look
        _end()


@contextmanager
def unbroken() -> Iterator[None]:
    """Let a signal wait until what is begun inside has ended, for as long as there is grace. An
    error inside goes on as it is.

    A library that is left in the middle of a call may hang, or hold a lock, in the next one.
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
    """Whether a signal came that an `unbroken` call makes wait."""
    return bool(_signal)


def _follow(dvc: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        # Not wait(), which goes on until somebody has asked for the exit code of the `dvc`.
        while dvc.status() != psutil.STATUS_ZOMBIE and dvc.is_running():
            time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)


def _end(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    global _signal
    if _signal:  # it is ending
        return
    _signal = number
    threading.Thread(target=_end_at_last, daemon=True).start()
    if _unbroken:
        _tell("stopping, as soon as what has begun is done")
    else:
        _tell("stopped")
        sys.exit(128 + number)


def _end_at_last() -> None:
    threading.Event().wait(GRACE)
    _tell(f"that is not done after {GRACE} seconds, and nothing more is saved")
    os._exit(128 + _signal)


def _tell(text: str) -> None:
    # Not print: this may come in the middle of one, which Python does not allow.
    os.write(2, f"{text}\n".encode())
