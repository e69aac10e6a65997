"""Initial weights: both schemes have the distributions of torch and of GPT-2."""

import pytest
import torch
from torch import nn

from transformer import Architecture, bert, vit
from transformer.stems import ConvolutionalStem

SIZES = {"n_layer": 2, "n_head": 4, "d_model": 64, "d_mlp": 256}


def model(initialization: str, seed: int = 0):
    architecture = Architecture(**SIZES, initialization=initialization)
    generator = torch.Generator().manual_seed(seed)
    return bert(architecture, 1000, 20, tie_embeddings=False, generator=generator)


def test_torchs_scheme_has_the_distribution_of_torchs_own_modules():
    """The same range for each matrix and bias, and the same standard deviation for each table."""
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(64, 4, 256)
    qkv = nn.Linear(64, 192)
    fresh = {"mlp.up": theirs.linear1, "mlp.down": theirs.linear2, "attention.qkv": qkv}
    ours = model("torch")
    for name, expected in fresh.items():
        found = ours.blocks[0].get_submodule(name)
        for mine, reference in ((found.weight, expected.weight), (found.bias, expected.bias)):
            assert mine.abs().max().item() == pytest.approx(reference.abs().max().item(), rel=0.05)
            assert mine.std().item() == pytest.approx(reference.std().item(), rel=0.15)
    assert ours.embedding.weight.std().item() == pytest.approx(1.0, rel=0.02)
    assert ours.embedding.positions.weight.std().item() == pytest.approx(1.0, rel=0.05)


def test_torchs_scheme_draws_the_class_token():
    architecture = Architecture(**SIZES, initialization="torch")
    made = vit(architecture, 8, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    assert made.embedding.class_token.std().item() == pytest.approx(1.0, rel=0.3)


def test_the_scaled_scheme_is_gpt2s():
    ours = model("scaled_normal")
    mlp = ours.blocks[0].mlp
    assert mlp.up.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert mlp.down.weight.std().item() == pytest.approx(0.02 / 4**0.5, rel=0.03)
    assert not mlp.up.bias.any()


def stem(initialization: str, seed: int = 0):
    architecture = Architecture(**SIZES, initialization=initialization)
    generator = torch.Generator().manual_seed(seed)
    return vit(
        architecture, 16, 8, 3, 2, stem="convolutional", generator=generator
    ).embedding.patches


def test_the_scaled_scheme_keeps_the_variance_in_a_convolutional_stem():
    """Behind ReLU half of the squares are left, so the weights' variance is 2 / inputs."""
    made = stem("scaled_normal")
    for layer in made.convolutions:
        inputs = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.1)
    assert made.weight.std().item() == pytest.approx(0.02, rel=0.05)
    x = torch.randn(8, 32, 64, 64).relu()
    assert made.convolutions[-1](x).var().item() == pytest.approx(x.square().mean().item() * 2, 0.1)


def test_torchs_scheme_in_a_convolutional_stem_is_torchs():
    torch.manual_seed(0)
    fresh = ConvolutionalStem(3, 8, 64)
    for mine, reference in zip(stem("torch").parameters(), fresh.parameters(), strict=True):
        assert mine.abs().max().item() == pytest.approx(reference.abs().max().item(), rel=0.1)


@pytest.mark.parametrize("initialization", ["scaled_normal", "torch"])
@pytest.mark.parametrize(("build", "key"), [(model, "embedding.tokens.weight"), (stem, "0.weight")])
def test_weights_come_from_the_generator_alone(initialization, build, key):
    torch.manual_seed(1)
    first = build(initialization).state_dict()
    torch.manual_seed(2)
    again, other = build(initialization).state_dict(), build(initialization, seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first[key], other[key])
