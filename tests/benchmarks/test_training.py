"""The comparison of training steps with other libraries: what it requires, and what it reports."""

import pytest
import torch

from benchmarks import training
from benchmarks.peers import Size, vit

TINY = Size(2, 2, 16, 3, 12, 5, patch=4, channels=1)


def first_steps(sides):
    return {name: training.training_step(side)() for name, side in sides.items()}


def test_all_libraries_compute_the_same_steps():
    torch.manual_seed(0)
    sides, flops = vit(TINY)
    assert flops > 0
    for _ in range(3):
        training.require_equal(first_steps(sides))


def test_unequal_work_is_refused():
    sides, _ = vit(TINY)
    with torch.no_grad():
        sides["timm"].model.head.bias += torch.arange(5.0)
    with pytest.raises(AssertionError, match="timm: another loss"):
        training.require_equal(first_steps(sides))


def test_the_ratio_is_of_the_same_turn():
    theirs, ours = [2.0, 2.0, 12.0], [1.0, 2.0, 4.0]
    assert training.relative(theirs, ours) == "2.00 (1.00 to 3.00)"
