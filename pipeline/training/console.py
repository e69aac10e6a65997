"""What a person sees during training: a live bar on a terminal, plain lines elsewhere."""

import sys
from typing import Protocol

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Console(Protocol):
    """Where the loop tells how it goes; a context manager around the whole training."""

    def __enter__(self) -> "Console": ...

    def __exit__(self, *exception: object) -> None: ...

    def update(self, step: int, loss: float, rate: float) -> None:
        """Steps done, the last loss, and the throughput in units a second."""

    def line(self, text: str) -> None:
        """A line of the log."""


class Lines:
    """For a pipe or a file: the lines alone."""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self, step: int, loss: float, rate: float) -> None:
        pass

    def line(self, text: str) -> None:
        print(text, flush=True)


class LiveBar:
    """For a terminal: one bar with loss, throughput and time left, and the evaluations above."""

    def __init__(self, title: str, steps: int, start: int, unit: str):
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]:,.0f} " + unit + "/s"),
            TimeRemainingColumn(compact=True),
            console=Terminal(file=sys.stdout),
        )
        self._task = self._progress.add_task(
            title, total=steps, completed=start, loss=float("nan"), rate=0.0
        )

    def __enter__(self) -> "LiveBar":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, step: int, loss: float, rate: float) -> None:
        self._progress.update(self._task, completed=step, loss=loss, rate=rate)

    def line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


def open_console(title: str, steps: int, start: int, unit: str) -> Console:
    """The console that suits standard output."""
    return LiveBar(title, steps, start, unit) if sys.stdout.isatty() else Lines()
