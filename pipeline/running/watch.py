"""Watches a training: the terminal, signals, and a copy of its curves elsewhere."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from pipeline.paths import PROGRESS, SWEEP_PROCESS, write_json
from pipeline.running.console import Console
from pipeline.running.lifetime import end_with_others, stopping
from pipeline.training.clock import Clock
from pipeline.training.history import History, Row
from pipeline.training.observer import Observer
from pipeline.training.plan import Plan
from pipeline.training.task import Task

Publish = Callable[[list[Row], list[Row]], None]


class Watch(Observer):
    """Shows a training on the terminal; a context manager around the whole training.

    A signal stops the training after the current step, which is then saved.

    title: the model, and after a comma the seed if there are several.
    publish: called at each evaluation with all rows of steps and evaluations so far.
    after: the amount of training that follows this one, as a multiple of it, for the remaining
        time.
    """

    def __init__(
        self, title: str, task: Task[Any], publish: Publish | None = None, after: float = 0.0
    ):
        self._title, self._task = title, task
        self._publish = publish
        self._after = after
        self._closing = ExitStack()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()

    def begin(self, plan: Plan, start: int) -> None:
        self._plan = plan
        self._console = Console(self._title, plan.steps, start, self._task.unit)
        self._closing.callback(self._console.close)
        if start:
            self._console.line(f"{self._title}: continues after step {start}")

    def steps(self, step: int, rows: list[Row], clock: Clock) -> None:
        per_step = self._task.batch_size * self._task.units_per_example
        rate = per_step * step / (clock.seconds["train"] or 1.0)
        steps = self._plan.steps
        left = clock.per_step(step) * (steps - step + self._after * steps)
        self._console.update(step, rows[-1]["loss"], rate, left)
        self._console.line(self._task.line(step, rows), left)
        if SWEEP_PROCESS in os.environ:
            seconds = clock.per_step(step) * (steps - step)
            write_json({"step": step, "steps": steps, "left": seconds}, PROGRESS)

    def evaluated(self, row: Row, history: History) -> None:
        self._console.line(f"after step {row['step']} | {self._task.evaluation_line(row)}")
        if self._publish:
            self._publish(history.steps, history.evaluations)

    def stopping(self) -> bool:
        return stopping()

    def stopped(self, step: int) -> None:
        self._console.line(f"saved after step {step}; the same command continues from there")
        end_with_others()


class Follower(Observer):
    """Prints nothing, in processes besides the first; but a signal to one stops all."""

    def stopping(self) -> bool:
        return stopping()

    def stopped(self, step: int) -> None:
        end_with_others()
