"""Output during training: a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TextColumn

from pipeline.wording import duration


class Console:
    """Plain lines, for a pipe or a file; a context manager around the whole training.

    prefix: the beginning of each line, such as the seed if there are several.
    """

    def __init__(self, prefix: str):
        self._prefix = prefix

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self, step: int, loss: float, rate: float, left: float) -> None:
        """Show the step, its loss, the throughput in units per second, and the seconds until
        the last `train` stage ends."""

    def line(self, text: str, left: float = 0.0) -> None:
        """Print a line of the log, with the same seconds, if any."""
        self._print(self._prefix + text + (f" | {duration(left)} to train" if left >= 0.5 else ""))

    def _print(self, text: str) -> None:
        print(text, flush=True)


class LiveBar(Console):
    """For a terminal: a progress bar with loss, throughput and training time left, below the
    lines."""

    def __init__(self, title: str, prefix: str, steps: int, start: int, unit: str):
        super().__init__(prefix)
        self._unit = unit
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("{task.fields[state]}"),
            console=Terminal(file=sys.stdout),
        )
        self._task = self._progress.add_task(title, total=steps, completed=start, state="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, step: int, loss: float, rate: float, left: float) -> None:
        state = f"loss {loss:.3f} {rate:,.0f} {self._unit}/s {duration(left)} to train"
        self._progress.update(self._task, completed=step, state=state)

    def _print(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


def open_console(title: str, steps: int, start: int, unit: str) -> Console:
    """A progress bar if standard output is a terminal, otherwise plain lines.

    title: the model, and after a comma the seed if there are several.
    """
    seed = title.partition(", ")[2]
    prefix = f"{seed} | " if seed else ""
    if sys.stdout.isatty():
        return LiveBar(title, prefix, steps, start, unit)
    return Console(prefix)


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
