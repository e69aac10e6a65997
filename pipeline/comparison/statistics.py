"""Differences of means with their intervals, corrected for their number, and how many seeds would
settle them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import nctdtr, stdtr, stdtrit  # scipy.stats takes a second longer to import

CONFIDENCE = 0.95
POWER = 0.8
MOST = 1_000  # seeds that params.yaml may have
# The least standard error, as a share of the means: a smaller one is of rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """The mean of other values minus the mean of the first ones.

    margin: half the width of its 95% confidence interval. p: of Student's t-test, two-sided.
    paired: whether values are paired by seed; otherwise the test is Welch's.
    deviation, freedom: the standard error of the difference between n and n seeds is
        deviation / sqrt(n), with freedom * (n - 1) degrees of freedom.
    """

    value: float
    margin: float
    p: float
    paired: bool
    deviation: float
    freedom: float


def difference(first: dict[int, float], other: dict[int, float]) -> Difference | None:
    """The difference between the values of two experiments, each by seed: paired if both have the
    same seeds, otherwise by Welch's test (Welch 1947, "The generalization of 'Student's' problem
    when several different population variances are involved").

    None if it cannot be told: from one value on a side, or from values that do not deviate, such as
    an accuracy on few images.
    """
    if min(len(first), len(other)) < 2:
        return None
    means = statistics.fmean(first.values()), statistics.fmean(other.values())
    value, paired = means[1] - means[0], first.keys() == other.keys()
    if paired:
        deviation = statistics.stdev(other[seed] - first[seed] for seed in first)
        error = deviation / math.sqrt(len(first))
    else:
        variances = [statistics.variance(each.values()) for each in (first, other)]
        parts = [variances[0] / len(first), variances[1] / len(other)]
        deviation, error = math.sqrt(sum(variances)), math.sqrt(sum(parts))
    if error <= ROUNDING * max(map(abs, means)):
        return None
    if paired:
        degrees, freedom = len(first) - 1.0, 1.0
    else:
        degrees = error**4 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(other) - 1))
        freedom = deviation**4 / (variances[0] ** 2 + variances[1] ** 2)
    margin = error * float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
    p = 2 * float(stdtr(degrees, -abs(value) / error))
    return Difference(value, margin, p, paired, deviation, freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number (Holm 1979, "A simple sequentially rejective multiple
    test procedure"): those below 5% hold together, with an error of at most 5% in all."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(ranked):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def seeds_needed(seen: Difference, comparisons: int) -> int | None:
    """How many seeds, on each side, would find a difference as large as the one seen with a power
    of 80%, if the deviation is the one seen; None if more than MOST.

    comparisons: their number, which lowers the level of each, as in the first step of Holm's.
    """
    level = (1 - CONFIDENCE) / comparisons
    low, high = 1, 2  # too few, and enough
    while high <= MOST and _power(seen, high, level) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _power(seen, middle, level) < POWER:
            low = middle
        else:
            high = middle
    return high if high <= MOST else None


def _power(seen: Difference, seeds: int, level: float) -> float:
    """The probability of a significant difference, on the side of the one seen (noncentral t)."""
    degrees = seen.freedom * (seeds - 1)
    shift = abs(seen.value) / seen.deviation * math.sqrt(seeds)
    return 1 - float(nctdtr(degrees, shift, stdtrit(degrees, 1 - level / 2)))
