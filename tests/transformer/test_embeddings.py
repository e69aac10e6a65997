"""Embeddings: patches are linear in pixels, sinusoids are the paper's formula."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transformer.embeddings import PatchEmbedding
from transformer.positions import LearnedPositions, SinusoidalPositions
from transformer.stems import PatchProjection


def test_sinusoids_are_the_formula_of_the_paper():
    table = SinusoidalPositions(length=50, d_model=8)(torch.zeros(50, 8))
    for position in (0, 1, 49):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_a_sequence_longer_than_the_table_is_refused():
    with pytest.raises(ValueError, match="sequence of 5 is longer than the 4"):
        LearnedPositions(4, 8)(torch.zeros(5, 8))


def test_patches_are_projected_one_by_one():
    torch.manual_seed(0)
    patches = PatchProjection(3, 2, 8)
    embed = PatchEmbedding((4, 6), patches, False, LearnedPositions(6, 8), nn.Identity(), 0.0)
    image = torch.randn(1, 3, 4, 6)
    # The second patch of the second row, by hand.
    patch = image[0, :, 2:4, 2:4].reshape(-1)
    expected = embed.weight.reshape(8, -1) @ patch + embed.patches.bias
    expected = expected + embed.positions.weight[3 + 1]
    torch.testing.assert_close(embed(image)[0, 3 + 1], expected)


@pytest.mark.parametrize("patch", [2, 3, (2, 4)])
def test_patches_are_those_of_a_convolution(patch):
    torch.manual_seed(0)
    project, images = PatchProjection(3, patch, 8), torch.randn(2, 3, 7, 9)  # with a rest
    convolved = F.conv2d(images, project.weight, project.bias, stride=project.stride)
    torch.testing.assert_close(project(images), convolved)


def test_the_class_token_stands_first():
    patches = PatchProjection(1, 2, 8)
    embed = PatchEmbedding((4, 4), patches, True, LearnedPositions(5, 8), nn.Identity(), 0.0)
    with torch.no_grad():
        embed.class_token.fill_(7.0)
    out = embed(torch.randn(2, 1, 4, 4))
    assert out.shape == (2, 5, 8)
    torch.testing.assert_close(out[:, 0], (7.0 + embed.positions.weight[0]).expand(2, 8))


def test_images_of_another_size_are_refused():
    patches = PatchProjection(1, 2, 8)
    embed = PatchEmbedding((4, 4), patches, False, LearnedPositions(4, 8), nn.Identity(), 0.0)
    with pytest.raises(ValueError, match="images of 4 x 2 pixels, but the model is for 4 x 4"):
        embed(torch.randn(2, 1, 4, 2))
