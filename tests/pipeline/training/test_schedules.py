"""The learning-rate schedules, by hand and against torch's."""

import pytest
import torch

from pipeline.training.schedules import factor


def test_linear_equals_a_hand_computation():
    factors = [factor(s, 10, "linear", warmup_steps=2, decay_fraction=0.5) for s in range(10)]
    expected = [1 / 3, 2 / 3, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]
    assert factors == pytest.approx(expected)


def test_cosine_is_torchs():
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert factor(step, 20, "cosine") == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_constant_stays():
    assert {factor(s, 10, "constant", decay_fraction=1.0) for s in range(10)} == {1.0}


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("decay_fraction", [0.0, 0.3, 1.0])
def test_every_step_moves(schedule, decay_fraction):
    for step in range(50):
        assert 0 < factor(step, 50, schedule, 5, decay_fraction) <= 1
