"""Time to target: when training first reached a target."""

import pandas as pd
import pytest

from pipeline.reporting import time_to_target
from pipeline.reporting.targets import Cost, ModelTargets, Target
from pipeline.results import Moment, Training


def target(ours: str, value: float, better: str = "lower") -> Target:
    words = dict.fromkeys(("name", "source", "measured", "how", "baseline"), "x")
    return Target(value=value, better=better, ours=ours, measure={}, **words)


LOSS, ACCURACY = target("loss", 4.0), target("accuracy", 0.5, "higher")


def training(losses: list[float], accuracies: list[float] | None = None, record=None) -> Training:
    rows = {"step": [10 * (i + 1) for i in range(len(losses))], "loss": losses}
    if accuracies:
        rows["accuracy"] = accuracies
    metrics = {"steps": 100, "unit": "tokens", "tokens": 5_000, "flops": 2_000_000}
    return Training(0, metrics, record, pd.DataFrame(), pd.DataFrame(rows))


def test_the_first_evaluation_at_the_target_counts_not_a_later_one():
    found = time_to_target.first_moment(training([5.0, 4.0, 4.5, 3.0]), [LOSS])
    assert found == Moment(step=20, units=1_000, flops=400_000, seconds=None)


def test_a_target_reached_at_the_first_evaluation_may_have_been_reached_earlier():
    assert time_to_target.first_moment(training([3.9, 3.8]), [LOSS]).at_most
    assert not time_to_target.first_moment(training([9.0, 3.8]), [LOSS]).at_most


def test_seconds_are_those_of_training_at_that_step():
    record = {"marks": {"10": 1.5, "20": 3.25}}
    assert time_to_target.first_moment(training([5.0, 3.9], record=record), [LOSS]).seconds == 3.25


def test_a_target_that_is_not_reached_has_no_moment():
    assert time_to_target.first_moment(training([5.0, 4.1]), [LOSS]) is None


def test_of_an_accuracy_the_first_that_is_as_high_counts():
    found = time_to_target.first_moment(training([9.0, 9.0], [0.4, 0.5]), [ACCURACY])
    assert found.step == 20


def test_several_targets_count_when_all_are_reached_at_once():
    """Each is reached at some evaluation, but both only at the third."""
    both = training([3.0, 5.0, 3.5], [0.1, 0.9, 0.6])
    assert time_to_target.first_moment(both, [LOSS, ACCURACY]).step == 30


@pytest.mark.parametrize(
    ("steps", "middle"),
    [
        ([30], 30),
        ([10, 30], 30),
        ([30, 10, 20], 20),
        ([10, None, 20], 20),
        ([10, None, None], None),
    ],
)
def test_a_seed_that_never_gets_there_is_the_latest_of_the_median(steps, middle):
    found = [step and Moment(step, step, step, None) for step in steps]
    moment = time_to_target.median(found)
    assert (moment and moment.step) == middle


def test_every_seed_is_looked_at():
    trainings = [training([3.0]), training([5.0, 3.0]), training([5.0])]
    cost = Cost(steps=1, tokens=1, flops=1)
    wanted = ModelTargets(data={"text": "x"}, measure={}, cost=cost, targets=[LOSS])
    found = time_to_target.reached(trainings, wanted)["loss"]
    assert [moment and moment.step for moment in found] == [10, 20, None]
    assert time_to_target.ranked(found)[:: len(found) - 1] == [found[0], None]
