"""Positions: rotary products depend only on the distance; tables are checked and stay float32."""

import pytest
import torch
from torch import nn

import transformer
from transformer import Architecture
from transformer.generation import generate
from transformer.positions import (
    LearnedPositions,
    Rotary,
    SinusoidalPositions,
    rotary_frequencies,
)


@pytest.fixture(params=[torch.bfloat16, torch.float64], ids=str)
def default_type(request):
    """Set another default type than float32 during the test."""
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


def gpt(positions: str) -> nn.Module:
    """A model with its own generator, so that every call gives the same weights."""
    architecture = Architecture(2, 2, 16, 20, positions=positions)
    generator = torch.Generator().manual_seed(0)
    return transformer.gpt(architecture, 23, 50, generator=generator).eval()


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


@pytest.mark.parametrize("kind", [SinusoidalPositions, Rotary])
def test_tables_are_computed_in_float32_whatever_the_default_type(kind, default_type):
    ours = kind(3000, 8)
    torch.set_default_dtype(torch.float32)
    expected = dict(kind(3000, 8).named_buffers())
    assert expected and all(table.dtype == torch.float32 for table in expected.values())
    for name, table in ours.named_buffers():
        assert table.dtype == torch.float32 and torch.equal(table, expected[name]), name


def test_sinusoids_are_those_of_the_paper_to_the_last_position():
    position, channel = 2999, 3
    angle = position / 10_000 ** (2 * (channel // 2) / 8)
    torch.testing.assert_close(
        SinusoidalPositions(3000, 8).table[position, channel],
        torch.tensor(angle, dtype=torch.float64).cos().float(),
        rtol=0,
        atol=1e-3,  # the angle itself is rounded to float32
    )


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_a_model_of_the_default_type_reads_and_writes(positions, default_type):
    model = gpt(positions)
    assert model(torch.arange(9)[None]).dtype == default_type
    assert len(generate(model, [[1, 2, 3]], 5, 50)[0]) == 5


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
@pytest.mark.parametrize("way", ["to_empty", "assign", "moved to meta and back"])
def test_tables_outlast_the_meta_device(positions, way):
    """Large models are built without memory first, and their weights loaded afterwards."""
    expected = gpt(positions)
    if way == "moved to meta and back":
        model = gpt(positions).to("meta").to_empty(device="cpu")
    else:
        with torch.device("meta"):
            model = gpt(positions)
        assert all(parameter.is_meta for parameter in model.parameters())
    if way == "to_empty":
        model = model.to_empty(device="cpu")
        for buffer in model.buffers():
            assert not buffer.is_meta
    model.load_state_dict(expected.state_dict(), assign=way == "assign")
    tokens = torch.arange(9)[None]
    assert torch.equal(model(tokens), expected(tokens))


@pytest.mark.parametrize("kind", [SinusoidalPositions, Rotary])
def test_tables_outlast_a_passing_change_of_type(kind):
    before = dict(kind(3000, 8).named_buffers())
    module = kind(3000, 8).half().float()
    for name, table in module.named_buffers():
        assert torch.equal(table, before[name]), name
    assert module.half()(torch.zeros(1, 1, 5, 8).half()).dtype == torch.float16
