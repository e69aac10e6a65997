import math

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.statistics import difference, holm, seeds_needed


def by_seed(values, first=0):
    return dict(enumerate(values, first))


def samples(rng, count):
    return rng.normal(rng.uniform(-5, 5), rng.uniform(0.01, 3), count)


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_equal_seeds_are_paired_as_in_scipy(count):
    rng = np.random.default_rng(count)
    for _ in range(20):
        first, other = samples(rng, count), samples(rng, count)
        found = difference(by_seed(first), by_seed(other))
        expected = stats.ttest_rel(other, first)
        interval = expected.confidence_interval(0.95)
        assert found.paired
        assert found.p == pytest.approx(expected.pvalue)
        assert found.value - found.margin == pytest.approx(interval.low)
        assert found.value + found.margin == pytest.approx(interval.high)


def test_values_are_paired_by_seed_and_not_by_position():
    first, other = {0: 1.0, 1: 2.0, 2: 4.0}, {2: 4.5, 0: 1.4, 1: 2.6}
    found = difference(first, other)
    assert found.p == pytest.approx(stats.ttest_rel([1.4, 2.6, 4.5], [1.0, 2.0, 4.0]).pvalue)


@pytest.mark.parametrize("counts", [(2, 3), (3, 3), (10, 4), (2, 30)])
def test_other_seeds_are_compared_by_welch_as_in_scipy(counts):
    rng = np.random.default_rng(counts)
    for _ in range(20):
        first, other = (samples(rng, count) for count in counts)
        found = difference(by_seed(first), by_seed(other, first=1))
        expected = stats.ttest_ind(other, first, equal_var=False)
        interval = expected.confidence_interval(0.95)
        assert not found.paired
        assert found.p == pytest.approx(expected.pvalue)
        assert found.value - found.margin == pytest.approx(interval.low)
        assert found.value + found.margin == pytest.approx(interval.high)


def test_a_paired_difference_equals_a_hand_computation():
    """Differences 1, 2, 3: mean 2, deviation 1, t = 2 * sqrt(3); with two degrees of freedom the
    distribution of t is 1/2 + t / (2 sqrt(2 + t^2)), and its 97.5% quantile is 4.302653."""
    found = difference(by_seed([0.0, 0.0, 0.0]), by_seed([1.0, 2.0, 3.0]))
    t = 2 * math.sqrt(3)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert found.margin == pytest.approx(4.302653 / math.sqrt(3))


@pytest.mark.parametrize(
    "first, other",
    [
        ([1.0], [2.0]),
        ([1.0, 2.0, 3.0], [2.0]),
        ([0.5, 0.5], [0.7, 0.7]),  # an accuracy on few images
        ([0.1, 0.2], [0.1 + 0.1, 0.2 + 0.1]),  # the same, but for rounding
    ],
)
def test_values_that_cannot_be_compared_have_no_difference(first, other):
    assert difference(by_seed(first), by_seed(other)) is None
    assert difference(by_seed(other), by_seed(first)) is None


def test_other_seeds_without_a_deviation_have_no_difference():
    assert difference({0: 0.5, 1: 0.5}, {2: 0.7, 3: 0.7}) is None


def test_holm_equals_a_hand_computation():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_rejects_as_its_definition_step_by_step():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = rng.uniform(0, 0.1, 6)
        adjusted = holm(p_values)
        for level in (0.01, 0.05, 0.1):
            rejected = set()
            for rank, index in enumerate(np.argsort(p_values)):
                if p_values[index] > level / (6 - rank):
                    break
                rejected.add(index)
            assert {i for i, p in enumerate(adjusted) if p <= level} == rejected


def significant_share(make, count, level, draws=20_000):
    """The share of simulated experiments in which scipy's test finds a difference."""
    return np.mean(make(count, draws) < level)


@pytest.mark.parametrize("size, comparisons", [(1.2, 1), (0.5, 1), (0.8, 6)])
def test_so_many_seeds_find_a_paired_difference_four_times_out_of_five(size, comparisons):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 5)
    values = (values - values.mean()) / values.std(ddof=1) + size  # of this size and deviation
    needed = seeds_needed(difference(by_seed(np.zeros(5)), by_seed(values)), comparisons)

    def tested(count, draws):
        return stats.ttest_1samp(rng.normal(size, 1, (draws, count)), 0, axis=1).pvalue

    level = 0.05 / comparisons
    assert significant_share(tested, needed, level) > 0.79
    assert significant_share(tested, needed - 1, level) < 0.81


def test_so_many_other_seeds_find_a_difference_four_times_out_of_five():
    rng = np.random.default_rng(2)
    first, other = np.array([-1, 0, 1.0]), np.array([-3, 0, 3.0]) + 2  # deviations 1 and 3
    needed = seeds_needed(difference(by_seed(first), by_seed(other, first=5)), 1)

    def tested(count, draws):
        sides = rng.normal(0, 1, (draws, count)), rng.normal(2, 3, (draws, count))
        return stats.ttest_ind(*sides, axis=1, equal_var=False).pvalue

    assert significant_share(tested, needed, 0.05) > 0.79
    assert significant_share(tested, needed - 1, 0.05) < 0.81


def test_a_difference_that_is_not_seen_needs_more_seeds_than_there_are():
    rng = np.random.default_rng(3)
    for _ in range(300):
        count, comparisons = int(rng.integers(2, 9)), int(rng.integers(1, 9))
        found = difference(by_seed(rng.normal(0, 1, count)), by_seed(rng.normal(0.5, 1, count)))
        if found.p * comparisons >= 0.05:
            needed = seeds_needed(found, comparisons)
            assert needed is None or needed > count


def test_a_number_of_seeds_above_the_limit_is_not_named():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, 50)
    noise -= noise.mean()
    assert seeds_needed(difference(by_seed(np.zeros(50)), by_seed(noise + 0.05)), 1) is None
    assert seeds_needed(difference(by_seed(np.zeros(50)), by_seed(noise)), 1) is None
