"""Runs jobs on this machine: each is a `dvc` command in a copy of its own."""

import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import yaml_file
from pipeline.paths import PARAMS
from pipeline.sweeping import copies, worker
from pipeline.sweeping.copies import Snapshot
from pipeline.sweeping.plan import Experiment, Training

if TYPE_CHECKING:
    from pipeline.sweeping.schedule import Job


class LocalJob:
    """A running `dvc` command; see `schedule.Job`."""

    where = "here"

    def __init__(
        self,
        what: Training | Experiment,
        command: list[str],
        folder: Path,
        log: Path,
        snapshot: Snapshot,
        trains: bool,
    ):
        self.what, self.started, self.log = what, time.monotonic(), log
        self._folder, self._snapshot = folder, snapshot
        log.unlink(missing_ok=True)
        name = what.experiment if isinstance(what, Training) else what.name
        self._process = worker.dvc(command, folder, Path.cwd(), name, log, trains)

    def succeeded(self) -> bool | None:
        """None while it runs."""
        code = self._process.poll()
        return None if code is None else code == 0

    def progress(self) -> dict[str, float]:
        """step, steps, and left: expected seconds; empty before the first logged step."""
        return worker.progress(self._folder)

    def stop(self) -> None:
        """As Ctrl-C does: a training saves a checkpoint. `succeeded` says when it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def finish(self) -> str | None:
        """Remove the copy, after the end; returns the commit of an experiment, if it has one."""
        commit = None
        if isinstance(self.what, Experiment) and self.succeeded():
            commit = copies.fetch(self._folder, self._snapshot, self.what.name)
        shutil.rmtree(self._folder)
        return commit


class Local:
    """This machine.

    folder: for the copies and logs of this sweep, and for nothing else. jobs: how many run at the
    same time. trains: whether it trains, too; otherwise experiments take the results from the DVC
    remote.
    """

    def __init__(self, folder: Path, snapshot: Snapshot, jobs: int, trains: bool = True):
        self._folder, self._snapshot, self.slots, self._trains = folder, snapshot, jobs, trains
        for leftover in folder.glob("*/"):  # of a sweep that was killed, and may still be ending
            shutil.rmtree(leftover, ignore_errors=True)

    def has_room(self, what: Training | Experiment, running: Sequence["Job"]) -> bool:
        """Whether a job can be started beside the running ones."""
        return sum(isinstance(job, LocalJob) for job in running) < self.slots

    def start(self, what: Training | Experiment) -> LocalJob:
        """Start a job whose requirements have ended."""
        if isinstance(what, Experiment):
            name = what.name
            pull = [] if self._trains else ["--pull"]
            overrides = [word for each in what.overrides for word in ("-S", each)]
            command = ["exp", "run", "--name", name, *pull, *overrides]
        else:
            name = f"{what.experiment}-{what.model}-{what.seed}"
            command = ["repro", f"evaluate@{what.model}-{what.seed}"]
        folder = self._folder / f"{os.getpid()}-{name}"
        copies.copy(self._snapshot, folder)
        if isinstance(what, Training):
            (folder / PARAMS).write_text(yaml_file.text(what.params.content()), "utf-8")
        log = self._folder / f"{name}.log"
        return LocalJob(what, command, folder, log, self._snapshot, self._trains)
