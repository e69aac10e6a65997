"""When a training first got to a target: in steps, tokens or images, operations and seconds.

By the evaluations during training, which measure a figure as the final evaluation does. Of several
seeds the median counts, and one that never got there is later than all others (Dahl et al. 2023,
"Benchmarking Neural Network Training Algorithms", section 4, on time to result).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reporting.results import Result, Training
from pipeline.reporting.targets import ModelTargets, Target


@dataclass(frozen=True)
class Moment:
    """A step of a training, and what it had cost by then.

    units: tokens or images seen. flops: floating-point operations.
    seconds: of training, without evaluations; None where no record says.
    """

    step: int
    units: int
    flops: int
    seconds: float | None


def first_moment(training: Training, targets: Sequence[Target]) -> Moment | None:
    """The first evaluation at which all of `targets` are reached at once; None if there is none."""
    for row in training.evaluations.to_dict("records"):
        if all(target.reached_by(row[target.ours]) for target in targets):
            return _moment(training, int(row["step"]))
    return None


def wanted(reached: ModelTargets) -> dict[str, list[Target]]:
    """What has a time of its own: each target, by our name of its figure; `all` of them at once."""
    return {target.ours: [target] for target in reached.targets} | {"all": reached.targets}


def moments(result: Result, targets: Sequence[Target]) -> list[Moment | None]:
    """`first_moment` with every seed."""
    return [first_moment(training, targets) for training in result.trainings]


def median(found: Sequence[Moment | None]) -> Moment | None:
    """The middle one in steps; of an even number the later one of the middle two. None is never."""
    return _ranked(found)[len(found) // 2]


def span(found: Sequence[Moment | None]) -> tuple[Moment | None, Moment | None]:
    """The first and the last."""
    ranked = _ranked(found)
    return ranked[0], ranked[-1]


def _ranked(found: Sequence[Moment | None]) -> list[Moment | None]:
    return sorted(found, key=lambda moment: moment.step if moment else math.inf)


def _moment(training: Training, step: int) -> Moment:
    figures = training.figures
    share = step / figures["steps"]
    marks = training.record["marks"] if training.record else {}
    return Moment(
        step,
        round(figures[figures["unit"]] * share),
        round(figures["flops"] * share),
        marks.get(str(step)),
    )
