import itertools

import numpy as np
import pytest

from pipeline.comparison.costs import cost, pareto_front
from pipeline.results import Moment
from tests.pipeline.reporting.handmade import result


def test_the_cost_of_a_training_is_a_mean_over_the_seeds():
    found = result("vit", seeds=2)
    assert cost(found).seconds is None  # without records
    found.trainings[0].record = {"seconds": {"train": 3.0, "evaluate": 100.0}}
    assert cost(found).seconds is None
    found.trainings[1].record = {"seconds": {"train": 4.0}}
    shown = cost(found)
    assert (shown.flops, shown.unit, shown.units, shown.seconds) == (10**12, "images", 20_000, 3.5)


def test_the_time_to_target_is_the_median_of_the_seeds():
    found = result("gpt", seeds=3)
    assert not cost(found).has_targets
    early, late = (Moment(step, 1, 1, None) for step in (10, 20))
    found.time_to_target = {"all": [late, None, early], "loss": [early] * 3}
    assert cost(found).to_target == late
    found.time_to_target = {"all": [None, None, early]}
    assert cost(found).has_targets and cost(found).to_target is None


@pytest.mark.parametrize("ties", [False, True])
def test_the_front_has_all_that_no_other_dominates(ties):
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = rng.integers(0, 4, (8, 2)) if ties else rng.uniform(size=(8, 2))
        points = [tuple(map(float, point)) for point in drawn]
        dominated = {
            b
            for (a, p), (b, q) in itertools.permutations(enumerate(points), 2)
            if (p[0] <= q[0] and p[1] <= q[1]) and (p[0] < q[0] or p[1] < q[1])
        }
        assert [not mark for mark in pareto_front(points)] == [i in dominated for i in range(8)]
