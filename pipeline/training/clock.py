"""Where the time goes: training, evaluation, logging, compilation, each on its own."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Wall seconds by activity. One activity runs at a time; an inner one stops the outer.

    `seconds` and `marks` may be saved and given to a new Clock, which then goes on from there.

    marks: seconds of training at the steps that were marked.
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
        """Note how long the training has taken up to `step`, all else left out."""
        self.marks[step] = self.seconds["train"]

    def per_step(self, steps: int) -> float:
        """Seconds that a step has taken so far, with all that goes with it but compilation."""
        return (sum(self.seconds.values()) - self.seconds.get("compile", 0.0)) / steps

    def _settle(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
