"""The clock: an inner activity pauses the outer one, and no time counts twice."""

import time

from pipeline.training.clock import Clock


def test_activities_add_up_to_the_time_that_passed():
    clock = Clock({"train": 10.0})
    start = time.perf_counter()
    with clock.measure("train"):
        time.sleep(0.02)
        with clock.measure("log"):
            time.sleep(0.03)
    passed = time.perf_counter() - start
    assert clock.seconds["log"] >= 0.03
    assert clock.seconds["train"] >= 10.02
    assert abs(sum(clock.seconds.values()) - 10.0 - passed) < 0.01
