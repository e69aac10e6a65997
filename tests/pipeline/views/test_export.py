"""Export of images' models: a grey model takes colour images as their grey values."""

import pytest
import torch

import transformer
from pipeline.inference.loading import ImageModel
from pipeline.views.export import BRIGHTNESS, _in_colour
from transformer.stems import STEMS
from transformer.weights.huggingface.preparation import Preparation


@pytest.mark.parametrize("stem", STEMS)
@torch.no_grad()
def test_a_grey_model_in_colour_sees_grey_values(stem):
    torch.manual_seed(0)
    grey = transformer.vit(transformer.Architecture(1, 2, 8, 16), 8, 4, 1, 3, stem=stem).eval()
    images = ImageModel(grey, ["a", "b", "c"], Preparation((8, 8), 2, 1 / 255, [0.1], [0.3]))
    colour = _in_colour(images)
    assert colour.model.embedding.patches.in_channels == 3
    assert (colour.preparation.mean, colour.preparation.std) == ([0.1] * 3, [0.3] * 3)
    pixels = torch.rand(2, 3, 8, 8)
    brightness = (pixels * torch.tensor(BRIGHTNESS).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(colour.model(pixels), grey(brightness))
