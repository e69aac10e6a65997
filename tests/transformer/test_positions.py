"""Positions: rotary products depend on the distance alone, and on nothing beyond the table."""

import pytest
import torch

from transformer.positions import (
    LearnedPositions,
    Rotary,
    SinusoidalPositions,
    rotary_frequencies,
)


def test_rotary_is_a_rotation_by_an_angle_that_grows_with_the_position():
    torch.manual_seed(0)
    frequencies = rotary_frequencies(8, theta=100.0)
    torch.testing.assert_close(frequencies, torch.tensor([1.0, 100**-0.25, 0.1, 100**-0.75]))
    x = torch.randn(1, 1, 20, 8)
    pairs = torch.complex(x[..., :4], x[..., 4:])
    turned = pairs * torch.polar(torch.ones(20, 4), torch.arange(20)[:, None] * frequencies)
    expected = torch.cat((turned.real, turned.imag), -1)
    torch.testing.assert_close(Rotary(20, 8, theta=100.0)(x), expected)


def test_rotary_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    rotary = Rotary(50, 8)
    q, k = torch.randn(2, 1, 1, 1, 8).expand(2, 1, 1, 7, 8)
    near = rotary(q) @ rotary(k).mT
    far = [rotary(each, torch.arange(7) + 40) for each in (q, k)]
    torch.testing.assert_close(near, far[0] @ far[1].mT, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [LearnedPositions, SinusoidalPositions, Rotary])
@pytest.mark.parametrize("length", [1, 4])
def test_a_sequence_beyond_the_table_is_refused(kind, length):
    with pytest.raises(ValueError, match=f"sequence of 5 is longer than the {length}"):
        kind(length, 8)(torch.zeros(1, 1, 5, 8))
