"""The length of a training, and when to log, to evaluate and to save."""

from dataclasses import dataclass
from typing import Any

from pipeline.parameters.base import EpochTraining, StepTraining
from pipeline.training.task import Task


@dataclass(frozen=True)
class Plan:
    """Length of training, and intervals of logging, evaluation and checkpoints, in steps."""

    steps: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int

    @classmethod
    def of(cls, settings: StepTraining | EpochTraining, task: Task[Any]) -> "Plan":
        """The plan of the settings; if they count epochs, their intervals do, too."""
        if isinstance(settings, EpochTraining):
            scale, total = task.steps_per_epoch, settings.epochs
        else:
            scale, total = 1, settings.steps
        intervals = (settings.log_every, settings.evaluate_every, settings.checkpoint_every)
        return cls(total * scale, *(interval * scale for interval in intervals))

    def due(self, step: int) -> tuple[bool, bool, bool]:
        """Whether to log, to evaluate and to save a checkpoint after `step` steps.

        The last step does all three: a stage that is killed while writing its outputs need not
        train again.
        """
        last = step == self.steps
        return (
            last or step % self.log_every == 0,
            last or step % self.evaluate_every == 0,
            last or step % self.checkpoint_every == 0,
        )
