"""Our figures against the reference's: met or not, and whether the two may be compared."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

from pipeline.params import Params
from pipeline.reporting.results import Result
from pipeline.reporting.targets import ModelTargets, Target


@dataclass(frozen=True)
class Verdict:
    """One row of the table at the top of the report.

    differences: why the comparison is not like for like; none if it is.
    """

    model: str
    target: Target
    ours: float
    baseline: float
    differences: list[str]

    @property
    def difference(self) -> float:
        """Ours minus the reference's."""
        return self.ours - self.target.value

    @property
    def met(self) -> bool:
        """Whether ours is at least as good."""
        return self.difference <= 0 if self.target.better == "lower" else self.difference >= 0

    @property
    def like_for_like(self) -> bool:
        """Same data, same tokens, same measure, no larger budget: only such a verdict counts."""
        return not self.differences

    def __str__(self) -> str:
        """In brackets if it does not count."""
        said = "met" if self.met else "not met"
        return said if self.like_for_like else f"({said})"


def judge(params: Params, result: Result, targets: ModelTargets) -> list[Verdict]:
    """A verdict for each target of one model."""
    differences = _differences(params, result, targets)
    return [
        Verdict(
            result.name,
            target,
            result.figures[target.ours],
            result.figures[target.baseline],
            differences,
        )
        for target in targets.targets
    ]


def tally(verdicts: list[Verdict]) -> tuple[int, int]:
    """How many of the comparable targets are met, of how many."""
    comparable = [verdict for verdict in verdicts if verdict.like_for_like]
    return sum(verdict.met for verdict in comparable), len(comparable)


def one_class_only(result: Result) -> bool:
    """Whether a classifier gives the same answer to everything: it has learnt nothing."""
    return result.figures.get("classes_predicted") == 1


def _differences(params: Params, result: Result, targets: ModelTargets) -> list[str]:
    section = params.section(result.name).model_dump()
    differences = []
    for path, expected in targets.conditions.items():
        found: Any = reduce(lambda part, key: part[key], path.split("."), section)
        if found != expected:
            note = result.data["note"] if path in ("data.text", "data.images") else None
            differences.append(note or f"{path} is {found}, not {expected}")
    unit = result.figures["unit"]
    seen = result.figures[unit]
    if seen > targets.budget:
        differences.append(f"longer: {seen:,} {unit}, the reference {targets.budget:,}")
    return differences
