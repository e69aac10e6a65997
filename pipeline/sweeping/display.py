"""What a sweep shows: what it will do, what runs at the moment, and its results."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.paths import REPORTS
from pipeline.sweeping.plan import Experiment, Plan, Training, content_of
from pipeline.wording import counted, duration, listed, number, wrapped

if TYPE_CHECKING:
    from pipeline.sweeping.schedule import Job

QUIET = 60  # seconds between two lines of a training, where there is no terminal


class Display:
    """The running jobs: on a terminal a table that follows them, elsewhere plain lines.

    slots: how many trainings run at the same time.
    """

    def __init__(self, slots: int):
        self._slots = slots
        self._console = Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._said: dict[Job, float] = {}

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def started(self, job: "Job") -> None:
        """A job has started."""
        self._said[job] = job.started
        self._line(f"{_title(job)}: started")

    def ended(self, job: "Job", succeeded: bool) -> None:
        """A job has ended."""
        took = duration(time.monotonic() - job.started)
        said = f"done in {took}" if succeeded else f"failed after {took}: see {job.log}"
        self._line(f"{_title(job)}: {said}")

    def stopping(self, jobs: int) -> None:
        """Jobs have been asked to end."""
        self._line(f"stopping {counted(jobs, 'job')}; the same command continues")

    def update(self, running: Sequence["Job"], waiting: Sequence[Training]) -> None:
        """Show the running jobs; waiting: the trainings that have not started."""
        if not self._console.is_terminal:
            for job in running:
                if time.monotonic() - self._said[job] >= QUIET and (state := _state(job)):
                    self._said[job] = time.monotonic()
                    self._line(f"{_title(job)}: {state}")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("running", "where", "step", "since", "left"):
            table.add_column(
                heading, justify="left" if heading in ("running", "where") else "right"
            )
        for job in running:
            progress = job.progress()
            steps = f"{progress['step']:,.0f}/{progress['steps']:,.0f}" if progress else ""
            since, left = duration(time.monotonic() - job.started), _left(job)
            table.add_row(
                _title(job), job.where, steps, since, "" if left is None else duration(left)
            )
        table.caption = self._rest(running, waiting)
        self._live.update(table, refresh=True)

    def _rest(self, running: Sequence["Job"], waiting: Sequence[Training]) -> str:
        times = [_left(job) for job in running] + [each.seconds for each in waiting]
        known = [each for each in times if each is not None]
        rest = f"{counted(len(waiting), 'training')} waiting"
        if len(known) < len(times) or not known:
            return rest
        return f"{rest}, about {duration(max(sum(known) / self._slots, *known))} left"

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _title(job: "Job") -> str:
    if isinstance(job.what, Training):
        return f"{job.what.title} ({job.what.experiment})"
    return job.what.name


def _left(job: "Job") -> float | None:
    """Expected seconds; None if nothing is known."""
    if progress := job.progress():
        return progress["left"]
    if isinstance(job.what, Training) and job.what.seconds is not None:
        return max(job.what.seconds - (time.monotonic() - job.started), 0.0)
    return None


def _state(job: "Job") -> str:
    progress = job.progress()
    if not progress:
        return ""
    left = duration(progress["left"])
    return f"step {progress['step']:,.0f} of {progress['steps']:,.0f}, about {left} left"


def announcement(plan: Plan, slots: int, cores: int | None) -> list[str]:
    """What a sweep is going to do, as lines.

    slots: how many trainings run at the same time. cores: that these share, on one machine.
    """
    unfinished = [each for each in plan.experiments if not each.commit]
    lines = [f"{counted(len(plan.experiments), 'experiment')}, {len(unfinished)} to run:"]
    for each in plan.experiments:
        done = " (finished)" if each.commit else ""
        lines.append(wrapped(f"  {each.name}: {' '.join(each.overrides)}{done}", 6))
    waiting = plan.waiting
    models = [each.model for each in waiting]
    of = listed([f"{models.count(model)} of {model}" for model in dict.fromkeys(models)])
    made = len(plan.trainings) - len(waiting)
    before = f"; {made} more were made before" if made else ""
    lines.append(wrapped(f"{counted(len(waiting), 'training')} to run{of and ': ' + of}{before}"))
    if waiting:
        threads = max(each.params.threads for each in waiting)
        room = max(cores // threads, 1) if cores else slots
        lines.append(wrapped(f"expected time: {_time(waiting, min(slots, room))}"))
        if cores and slots > room:
            sizes = f"{counted(slots, 'training')} of {counted(threads, 'thread')}"
            shared = f"{sizes} share {counted(cores, 'core')} and slow each other"
            lines.append(wrapped(f"note: {shared}"))
    return lines


def _time(waiting: list[Training], slots: int) -> str:
    """From the durations of earlier trainings on this machine."""
    known = [each.seconds for each in waiting if each.seconds is not None]
    if not known:
        return "unknown, because no such model was trained on this machine"
    rest = counted(len(waiting) - len(known), "training")
    more = f", and {rest} of unknown time" if len(known) < len(waiting) else ""
    return f"about {duration(max(sum(known) / slots, *known))}{more}"


def results(experiments: list[Experiment], commits: dict[str, str]) -> list[str]:
    """Tables with the metrics of finished experiments, one for each model.

    commits: of the results, by the name of the experiment.
    """
    models = {model: None for each in experiments for model in each.params.model_names}
    lines = []
    for model in models:
        rows = {}
        for each in experiments:
            if model in each.params.model_names and each.name in commits:
                file = REPORTS / model / "metrics.json"
                rows[each.name] = content_of(commits[each.name], file)[model]
        lines += ["", *_table(model, rows)]
    return lines


def _table(model: str, rows: dict[str, dict[str, float]]) -> list[str]:
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    cells = [[model, *metrics]]
    for name, row in rows.items():
        cells.append([name, *(number(row[each]) if each in row else "" for each in metrics)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in cells
    ]
