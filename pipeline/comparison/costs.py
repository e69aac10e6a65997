"""What an experiment costs, beside its quality: operations, units seen, seconds, and the time to
its targets."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reporting import time_to_target
from pipeline.results import Moment, Result


@dataclass(frozen=True)
class Cost:
    """The cost of one training of a model.

    flops: floating-point operations. unit, units: what the model sees, such as tokens, and how
        many. seconds: of training, without evaluations, as a mean over the seeds; None without
        their records.
    has_targets: whether the model has targets for these data. to_target: when all of them are
        reached at once, the median over the seeds; None if never.
    """

    flops: int
    unit: str
    units: int
    seconds: float | None
    has_targets: bool
    to_target: Moment | None


def cost(result: Result) -> Cost:
    """The cost of a model's training."""
    metrics = result.metrics
    seconds = [each.record["seconds"]["train"] for each in result.trainings if each.record]
    reached = result.time_to_target.get(time_to_target.ALL)
    return Cost(
        metrics["flops"],
        metrics["unit"],
        metrics[metrics["unit"]],
        statistics.fmean(seconds) if len(seconds) == len(result.trainings) else None,
        reached is not None,
        time_to_target.median(reached) if reached else None,
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point is on the front: no other has less of one number and at most as much of
    the other.

    points: cost and loss of each experiment; for quality, minus the quality.
    """
    return [
        not any(
            other[0] <= point[0] and other[1] <= point[1] and other != point for other in points
        )
        for point in points
    ]
