import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.training.bernoulli import bernoulli_
from pipeline.training.numerics import replace_kernels


@pytest.mark.parametrize("p", [0.0, 1e-4, 0.1, 0.5, 0.9, 1 - 1e-4, 1.0])
def test_ones_are_as_frequent_as_asked_in_every_place(p):
    random = torch.Generator().manual_seed(0)
    count = 1_000_001  # odd: numbers are drawn in pairs
    drawn = bernoulli_(torch.empty(count), p, generator=random)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    for places in (drawn, drawn[::2], drawn[1::2]):
        deviation = math.sqrt(p * (1 - p) / len(places))  # of the mean
        assert abs(places.double().mean().item() - p) <= 5 * deviation


def test_neighbours_are_independent():
    drawn = bernoulli_(torch.empty(1_000_000), 0.5, generator=torch.Generator().manual_seed(1))
    for distance in (1, 2, 3):
        both = (drawn[distance:] * drawn[:-distance]).double().mean().item()
        assert both == pytest.approx(0.25, abs=0.0025)


def test_any_layout_and_type_is_filled():
    torch.manual_seed(0)
    x = torch.full((3, 5, 4), 7.0).transpose(0, 1)
    assert bernoulli_(x, 0.5) is x
    torch.manual_seed(0)
    assert torch.equal(x, bernoulli_(torch.empty(5, 3, 4, dtype=torch.bfloat16), 0.5).float())
    assert bernoulli_(torch.empty(0), 0.5).shape == (0,)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="a probability is from 0 to 1"):
        bernoulli_(torch.empty(3), p)


def test_dropout_draws_with_it():
    replace_kernels("fast")
    x = torch.ones(64, 64)
    torch.manual_seed(3)
    dropped = F.dropout(x, 0.25)
    torch.manual_seed(3)
    torch.testing.assert_close(dropped, bernoulli_(torch.empty(64, 64), 0.75) / 0.75)
