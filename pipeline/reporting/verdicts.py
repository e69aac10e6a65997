"""Compares our results with the targets: met or not, and whether like for like."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from pydantic import computed_field
from pydantic.dataclasses import dataclass
from scipy.special import stdtrit  # scipy.stats takes a second longer to import

from pipeline.params import Params
from pipeline.reporting.targets import ModelTargets, Target
from pipeline.results import Result
from pipeline.wording import prefixed
from pipeline.yaml_file import flatten

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """One row of the table at the top of the report, and a part of metrics.json.

    values: our metric for each seed.
    differences: why the comparison is not like for like; empty if it is.
    """

    model: str
    target: Target
    values: list[float]
    baseline: float
    differences: list[str]

    @computed_field
    @property
    def ours(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @computed_field
    @property
    def margin(self) -> float:
        """Half the width of the mean's 95% confidence interval (Student's t); 0 for one seed."""
        count = len(self.values)
        if self.deviation is None:
            return 0.0
        quantile = stdtrit(count - 1, (1 + CONFIDENCE) / 2)  # of Student's t
        return float(quantile) * self.deviation / math.sqrt(count)

    @computed_field
    @property
    def difference(self) -> float:
        """Ours minus the reference's."""
        return self.ours - self.target.value

    @computed_field
    @property
    def outcome(self) -> str:
        """'met' if ours is at least as good, otherwise 'not met'; with several seeds 'undecided'
        if the confidence interval includes the target."""
        ahead = -self.difference if self.target.better == "lower" else self.difference
        if ahead - self.margin >= 0:
            return "met"
        return "not met" if ahead + self.margin < 0 else "undecided"

    @computed_field
    @property
    def met(self) -> bool:
        """Whether the outcome is 'met'."""
        return self.outcome == "met"

    @computed_field
    @property
    def like_for_like(self) -> bool:
        """Whether data and measure are the same, and our budget is not larger."""
        return not self.differences

    def __str__(self) -> str:
        """The outcome, in brackets if not like for like."""
        return self.outcome if self.like_for_like else f"({self.outcome})"


def judge(params: Params, result: Result, targets: ModelTargets) -> list[Verdict]:
    """A verdict for each target of one model."""
    shared = _differences(params, result, targets)
    return [
        Verdict(
            result.name,
            target,
            result.values(target.ours),
            result.metrics[target.baseline],
            shared + _measured_differently(result.measures[target.ours], target),
        )
        for target in targets.targets
    ]


def judge_all(
    params: Params, results: dict[str, Result], targets: dict[str, ModelTargets]
) -> list[Verdict]:
    """The verdicts of all models that have targets."""
    return [
        verdict
        for name, of_model in targets.items()
        for verdict in judge(params, results[name], of_model)
    ]


def tally(verdicts: Sequence[Verdict]) -> tuple[int, int]:
    """The number of comparable targets that are met, and of all comparable ones."""
    comparable = [verdict for verdict in verdicts if verdict.like_for_like]
    return sum(verdict.met for verdict in comparable), len(comparable)


def _differences(params: Params, result: Result, targets: ModelTargets) -> list[str]:
    """Why no comparison with the model's targets is like for like."""
    section = flatten(params.section(result.name).model_dump())
    source, *others = targets.data
    note = result.data["note"]
    if section[source] != targets.data[source]:
        # With other data, their split and encoding are not listed.
        differences = [note or f"{source} is {section[source]}"]
    else:
        differences = _unmet(section, {path: targets.data[path] for path in others})
    differences += _unmet(section, targets.measure)
    ours, theirs = result.metrics["flops"], targets.cost.flops
    if ours > theirs:
        differences.append(
            f"larger budget: {prefixed(ours)}FLOP, the reference {prefixed(theirs)}FLOP"
        )
    return differences


def _unmet(section: dict[str, Any], conditions: dict[str, Any]) -> list[str]:
    return [
        f"{path} is {section[path]}, not {expected}"
        for path, expected in conditions.items()
        if section[path] != expected
    ]


def _measured_differently(measure: dict[str, Any], target: Target) -> list[str]:
    """Where our metric is measured in another way than the target requires."""
    return [
        f"{target.ours}: {key.replace('_', ' ')} is {measure.get(key)}, not {expected}"
        for key, expected in target.measure.items()
        if measure.get(key) != expected
    ]
