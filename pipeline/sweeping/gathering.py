"""Puts experiments together from the results that a cluster has sent to the DVC remote."""

import time

from pipeline.running import durations
from pipeline.sweeping.local import Local
from pipeline.sweeping.plan import Experiment
from pipeline.sweeping.remote import Remote

RETRIES = 2  # of an experiment that failed


class GatheringJob:
    """An experiment that is run here, without its trainings; see `schedule.Job`.

    It is started again if it fails, because the remote may have been away while it was asked.
    """

    def __init__(self, what: Experiment, here: Local, remote: Remote):
        self.what, self.started = what, time.monotonic()
        self._here, self._remote, self._retries = here, remote, RETRIES
        self._stopped = False
        self._job = here.start(what)
        self.log = self._job.log

    @property
    def where(self) -> str:
        """This machine."""
        return self._job.where

    def succeeded(self) -> bool | None:
        """None while it runs, or waits for the remote."""
        succeeded = self._job.succeeded()
        if succeeded is not False or self._stopped:
            return succeeded
        if not self._retries:
            durations.forget(self.what.trainings)  # the remote may have lost them
            return False
        if self._remote.answers():
            self._retries -= 1
            self._job.finish()
            self._job = self._here.start(self.what)
        return None

    def progress(self) -> dict[str, float]:
        """Empty: it trains nothing."""
        return {}

    def stop(self) -> None:
        """As Ctrl-C does."""
        self._stopped = True
        self._job.stop()

    def finish(self) -> str | None:
        """Remove the copy, after the end; returns the commit, if there is one."""
        return self._job.finish()
