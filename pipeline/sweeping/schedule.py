"""Runs the jobs of a sweep: each training once, and each experiment after its trainings."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipeline.sweeping.display import Display
from pipeline.sweeping.plan import Experiment, Plan, Training

INTERVAL = 0.3  # seconds between looks at the jobs


class Job(Protocol):
    """A running job.

    started: by the monotonic clock. log: what it has printed.
    """

    started: float
    log: Path

    @property
    def what(self) -> Training | Experiment:
        """What is run."""

    @property
    def where(self) -> str:
        """Where it runs, for people."""

    def succeeded(self) -> bool | None:
        """None while it runs."""

    def progress(self) -> dict[str, float]:
        """step, steps, and left: expected seconds; empty before the first logged step."""

    def stop(self) -> None:
        """Ask it to end, as Ctrl-C does; `succeeded` says when it has."""

    def finish(self) -> str | None:
        """Clean up after the end; returns the commit of an experiment, if it has one."""


class Place(Protocol):
    """Where jobs run.

    slots: how many trainings run at the same time.
    """

    slots: int

    def has_room(self, what: Training | Experiment, running: Sequence[Job]) -> bool:
        """Whether a job can be started beside the running ones."""

    def start(self, what: Training | Experiment) -> Job:
        """Start a job whose requirements have ended."""


def run(plan: Plan, place: Place, display: Display) -> tuple[dict[str, str], list[str]]:
    """Run all that is not finished, as many jobs at the same time as `place` has room for.

    Returns the commit of each finished experiment by its name, that of the baseline if it changed
    nothing; and the names of those that failed. Ctrl-C stops the jobs, and is raised again when
    they have ended.
    """
    finished = {each.name: each.commit for each in plan.experiments if each.commit}
    unfinished = {each.recipe for each in plan.waiting}
    # Experiments first: as soon as they are ready, they take seconds, and are results.
    waiting = [each for each in plan.experiments if not each.commit] + plan.waiting
    running: list[Job] = []
    failed: list[str] = []
    lost: set[str] = set()  # trainings that failed
    try:
        while waiting or running:
            for what in [each for each in waiting if _is_ready(each, unfinished)]:
                if isinstance(what, Experiment) and lost & set(what.trainings):
                    waiting.remove(what)
                    failed.append(what.name)
                elif place.has_room(what, running):
                    waiting.remove(what)
                    running.append(place.start(what))
                    display.started(running[-1])
            time.sleep(INTERVAL)
            display.update(running, [each for each in waiting if isinstance(each, Training)])
            for job in [each for each in running if each.succeeded() is not None]:
                running.remove(job)
                succeeded, commit = bool(job.succeeded()), job.finish()
                display.ended(job, succeeded)
                if isinstance(job.what, Training):
                    unfinished.remove(job.what.recipe)
                    if not succeeded:
                        lost.add(job.what.recipe)
                elif succeeded:
                    finished[job.what.name] = commit or plan.baseline
                else:
                    failed.append(job.what.name)
    except KeyboardInterrupt:
        display.stopping(len(running))
        for job in running:
            job.stop()
        while any(job.succeeded() is None for job in running):
            time.sleep(INTERVAL)
        raise
    return finished, failed


def _is_ready(what: Training | Experiment, unfinished: set[str]) -> bool:
    return isinstance(what, Training) or not unfinished & set(what.trainings)
