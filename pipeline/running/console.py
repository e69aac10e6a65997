"""Output during training: a progress bar on a terminal, plain lines elsewhere."""

import sys

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TextColumn

from pipeline.wording import duration


class Console:
    """The log of a training; on a terminal also a progress bar below it, until `close`.

    title: the model, and after a comma the seed if there are several, which begins each line.
    """

    def __init__(self, title: str, steps: int, start: int, unit: str):
        seed = title.partition(", ")[2]
        self._prefix = f"{seed} | " if seed else ""
        self._unit = unit
        terminal = Terminal(file=sys.stdout)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("{task.fields[state]}"),
            console=terminal,
            disable=not terminal.is_terminal,
        )
        self._task = self._progress.add_task(title, total=steps, completed=start, state="")
        self._progress.start()

    def close(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()

    def update(self, step: int, loss: float, rate: float, left: float) -> None:
        """Show the step, its loss, the throughput in units per second, and the seconds until
        the last `train` stage ends."""
        state = f"loss {loss:.3f} {rate:,.0f} {self._unit}/s {duration(left)} to train"
        self._progress.update(self._task, completed=step, state=state)

    def line(self, text: str, left: float = 0.0) -> None:
        """Print a line of the log, with the same seconds, if any."""
        text = self._prefix + text + (f" | {duration(left)} to train" if left >= 0.5 else "")
        self._progress.console.print(
            text, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
