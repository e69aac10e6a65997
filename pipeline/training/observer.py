"""What the training loop tells those who watch it; nothing here changes a weight."""

from pipeline.training.clock import Clock
from pipeline.training.history import History, Row
from pipeline.training.plan import Plan


class Observer:
    """Watches a training. This one does nothing: it suits a training that nobody watches."""

    def begin(self, plan: Plan, start: int) -> None:
        """Training begins, or continues after step `start`."""

    def steps(self, step: int, rows: list[Row], clock: Clock) -> None:
        """A line of the log is due after `step`. rows: the steps since the last line."""

    def evaluated(self, row: Row, history: History) -> None:
        """An evaluation is done. row: its metrics, the last ones of `history`."""

    def stopping(self) -> bool:
        """Whether training should stop after this step, and save it."""
        return False

    def stopped(self, step: int) -> None:
        """Training has stopped early, and `step` is saved."""
