"""Time to target: when training first reached a target, in steps, tokens or images, FLOPs, seconds.

It uses the evaluations during training, which measure metrics like the final evaluation. For
several seeds it is the median, where a seed that never reaches the target is the latest (Dahl et
al. 2023, "Benchmarking Neural Network Training Algorithms", section 4, on time to result).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reporting.targets import ModelTargets, Target
from pipeline.results import Result, Training


@dataclass(frozen=True)
class Moment:
    """A step of a training, and the cost up to then.

    units: tokens or images seen. flops: floating-point operations.
    seconds: of training, without evaluations; None without a record. at_most: whether this is the
    first evaluation, so that the target may have been reached earlier.
    """

    step: int
    units: int
    flops: int
    seconds: float | None
    at_most: bool = False


def first_moment(training: Training, targets: Sequence[Target]) -> Moment | None:
    """The first evaluation that reaches all of `targets` at once; None if there is none."""
    for index, row in enumerate(training.evaluations.to_dict("records")):
        if all(target.reached_by(row[target.ours]) for target in targets):
            return _moment(training, int(row["step"]), at_most=index == 0)
    return None


def wanted(reached: ModelTargets) -> dict[str, list[Target]]:
    """The targets to time: each one, by the name of our metric, and `all` at once."""
    return {target.ours: [target] for target in reached.targets} | {"all": reached.targets}


def moments(result: Result, targets: Sequence[Target]) -> list[Moment | None]:
    """`first_moment` for each seed."""
    return [first_moment(training, targets) for training in result.trainings]


def median(found: Sequence[Moment | None]) -> Moment | None:
    """The median by step; of an even number, the later one of the middle two. None is never."""
    return _ranked(found)[len(found) // 2]


def span(found: Sequence[Moment | None]) -> tuple[Moment | None, Moment | None]:
    """The first and the last."""
    ranked = _ranked(found)
    return ranked[0], ranked[-1]


def _ranked(found: Sequence[Moment | None]) -> list[Moment | None]:
    return sorted(found, key=lambda moment: moment.step if moment else math.inf)


def _moment(training: Training, step: int, at_most: bool) -> Moment:
    metrics = training.metrics
    share = step / metrics["steps"]
    marks = training.record["marks"] if training.record else {}
    return Moment(
        step,
        round(metrics[metrics["unit"]] * share),
        round(metrics["flops"] * share),
        marks.get(str(step)),
        at_most,
    )
