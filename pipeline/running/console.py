"""Output during training: a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TextColumn

from pipeline.wording import duration


class Console(Protocol):
    """Shows the progress of training; a context manager around the whole training."""

    def __enter__(self) -> "Console": ...

    def __exit__(self, *exception: object) -> None: ...

    def update(self, step: int, loss: float, rate: float, left: float) -> None:
        """Show the step, its loss, the throughput in units per second, and the seconds until
        the last `train` stage ends."""

    def line(self, text: str, left: float = 0.0) -> None:
        """Print a line of the log, with the same seconds, if any."""


class Lines:
    """For a pipe or a file: only the lines.

    prefix: the beginning of each line, such as the seed if there are several.
    """

    def __init__(self, prefix: str):
        self._prefix = prefix

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self, step: int, loss: float, rate: float, left: float) -> None:
        pass

    def line(self, text: str, left: float = 0.0) -> None:
        print(_line(self._prefix, text, left), flush=True)


class LiveBar:
    """For a terminal: a progress bar with loss, throughput and training time left, below the
    lines."""

    def __init__(self, title: str, prefix: str, steps: int, start: int, unit: str):
        self._prefix, self._unit = prefix, unit
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("{task.fields[state]}"),
            console=Terminal(file=sys.stdout),
        )
        self._task = self._progress.add_task(title, total=steps, completed=start, state="")

    def __enter__(self) -> "LiveBar":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, step: int, loss: float, rate: float, left: float) -> None:
        state = f"loss {loss:.3f} {rate:,.0f} {self._unit}/s {duration(left)} to train"
        self._progress.update(self._task, completed=step, state=state)

    def line(self, text: str, left: float = 0.0) -> None:
        said = _line(self._prefix, text, left)
        self._progress.console.print(said, markup=False, highlight=False)


def open_console(title: str, steps: int, start: int, unit: str) -> Console:
    """A progress bar if standard output is a terminal, otherwise plain lines.

    title: the model, and after a comma the seed if there are several.
    """
    seed = title.partition(", ")[2]
    prefix = f"{seed} | " if seed else ""
    if sys.stdout.isatty():
        return LiveBar(title, prefix, steps, start, unit)
    return Lines(prefix)


@contextmanager
def alive(doing: str) -> Iterator[None]:
    """Show on standard error that a silent activity is running."""
    terminal = Terminal(stderr=True)
    if terminal.is_terminal:
        with terminal.status(f"{doing} ..."):
            yield
    else:
        print(f"{doing} ...", file=sys.stderr, flush=True)
        yield


def _line(prefix: str, text: str, left: float) -> str:
    return prefix + text + (f" | {duration(left)} to train" if left >= 0.5 else "")
