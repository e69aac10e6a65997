"""Time to target: when training first reached a target, in steps, units seen, FLOPs and seconds.

It uses the evaluations during training, which measure metrics like the final evaluation. For
several seeds it is the median, where a seed that never reaches the target is the latest (Dahl et
al. 2023, "Benchmarking Neural Network Training Algorithms", section 4, on time to result).
"""

import math
from collections.abc import Sequence

from pipeline.reporting.targets import ModelTargets, Target
from pipeline.results import Moment, Training

ALL = "all"


def first_moment(training: Training, targets: Sequence[Target]) -> Moment | None:
    """The first evaluation that reaches all of `targets` at once; None if there is none."""
    metrics = training.metrics
    marks = training.record["marks"] if training.record else {}
    for index, row in enumerate(training.evaluations.to_dict("records")):
        if all(target.reached_by(row[target.ours]) for target in targets):
            step = int(row["step"])
            share = step / metrics["steps"]
            units = round(metrics[metrics["unit"]] * share)
            flops = round(metrics["flops"] * share)
            return Moment(step, units, flops, marks.get(str(step)), at_most=index == 0)
    return None


def reached(trainings: Sequence[Training], targets: ModelTargets) -> dict[str, list[Moment | None]]:
    """`first_moment` of each training: for each target, by the name of our metric, and for all
    targets at once under the key ALL."""
    wanted = {target.ours: [target] for target in targets.targets} | {ALL: targets.targets}
    return {key: [first_moment(each, which) for each in trainings] for key, which in wanted.items()}


def median(found: Sequence[Moment | None]) -> Moment | None:
    """The median by step; of an even number, the later one of the middle two. None is never."""
    return ranked(found)[len(found) // 2]


def ranked(found: Sequence[Moment | None]) -> list[Moment | None]:
    """Sorted by step; None, which is never, comes last."""
    return sorted(found, key=lambda moment: moment.step if moment else math.inf)
