"""Measures the time of training, evaluation, logging and compilation separately."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Wall-clock seconds by activity. An inner activity pauses the outer one.

    A new Clock with saved `seconds` and `marks` continues from them.

    marks: seconds of training, by marked step.
    """

    def __init__(
        self, seconds: dict[str, float] | None = None, marks: dict[int, float] | None = None
    ):
        self.marks = marks or {}
        self.seconds: dict[str, float] = defaultdict(float, seconds or {})
        self._running: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def measure(self, activity: str) -> Iterator[None]:
        """Count the time of the body towards `activity`."""
        self._settle()
        self._running.append(activity)
        try:
            yield
        finally:
            self._settle()
            self._running.pop()

    def mark(self, step: int) -> None:
        """Record the seconds of training up to `step`, without other activities."""
        self.marks[step] = self.seconds["train"]

    def per_step(self, steps: int) -> float:
        """Mean seconds per step so far, with all activities except compilation."""
        return (sum(self.seconds.values()) - self.seconds.get("compile", 0.0)) / steps

    def _settle(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
