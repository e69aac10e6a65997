"""When a trainer has to end: on a signal, and when the `dvc` that runs it is gone."""

import os
import signal
import sys
import threading
from types import FrameType

import psutil

from pipeline import records


def end_with_dvc() -> None:
    """End in good order on SIGTERM, and when the `dvc` that runs this process has ended.

    A `dvc` that is killed leaves its stage running, which would go on writing while the next
    `dvc repro` starts another.
    """
    signal.signal(signal.SIGTERM, _terminate)
    dvc = records.dvc_process()
    if dvc:
        threading.Thread(target=_follow, args=(dvc,), daemon=True).start()
    elif "DVC_STAGE" in os.environ:  # it ended before this process had a look
        _terminate()


def _follow(dvc: psutil.Process) -> None:
    dvc.wait()
    os.kill(os.getpid(), signal.SIGTERM)


def _terminate(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    print("stopped; `dvc repro` goes on from the last checkpoint", file=sys.stderr)
    sys.exit(128 + number)
