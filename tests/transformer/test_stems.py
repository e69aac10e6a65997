"""Stems: the convolutional one computes what torchvision's does, for each image alone."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

from transformer import Architecture, vit
from transformer.stems import STEMS, ConvolutionalStem


def theirs(channels: int, patch_size: int, d_model: int, norm) -> nn.Sequential:
    """torchvision's stem, which has the sizes of the paper's code."""
    convolutions = patch_size.bit_length() - 1
    widths = [d_model // 2**left for left in range(convolutions)][::-1]
    configs = [ConvStemConfig(width, 3, 2, norm, nn.ReLU) for width in widths]
    model = VisionTransformer(32, patch_size, 1, 2, d_model, d_model, conv_stem_configs=configs)
    first = model.conv_proj[0][0]
    if channels != 3:
        model.conv_proj[0][0] = nn.Conv2d(
            channels, first.out_channels, 3, stride=2, padding=1, bias=False
        )
    return model.conv_proj


@pytest.mark.parametrize("norm", [partial(nn.GroupNorm, 1), nn.BatchNorm2d])
@pytest.mark.parametrize(("channels", "patch_size", "d_model"), [(3, 16, 48), (1, 2, 6), (3, 4, 8)])
def test_the_convolutional_stem_computes_what_torchvisions_does(
    channels, patch_size, d_model, norm
):
    torch.manual_seed(0)
    reference = theirs(channels, patch_size, d_model, norm)
    ours = ConvolutionalStem(channels, patch_size, d_model, norm)
    given = [*reference.parameters()]
    assert [p.shape for p in ours.parameters()] == [p.shape for p in given]
    with torch.no_grad():
        for mine, its in zip(ours.parameters(), given, strict=True):
            mine.copy_(its.normal_())
    images = torch.randn(3, channels, 32, 32)
    found = ours(images)
    torch.testing.assert_close(found, reference(images))
    assert found.shape == (3, d_model, 32 // patch_size, 32 // patch_size)
    assert ours.in_channels == channels


def test_channels_double_up_to_d_model_as_in_the_paper():
    """Of its smallest model: 24, 48, 96 and 192 (Xiao et al. 2021, appendix C)."""
    stem = ConvolutionalStem(3, 16, 192)
    assert [layer.out_channels for layer in stem.convolutions] == [24, 48, 96, 192]
    assert stem.weight.shape == (192, 192, 1, 1)


def test_an_image_is_the_same_in_any_batch_in_training_and_in_evaluation():
    torch.manual_seed(0)
    stem = ConvolutionalStem(3, 8, 16)
    images = torch.randn(4, 3, 16, 16)
    whole = stem(images)
    torch.testing.assert_close(torch.cat([stem(part) for part in images.split(1)]), whole)
    torch.testing.assert_close(stem.eval()(images), whole)
    assert not list(stem.buffers())


def test_the_contrast_of_an_image_has_no_effect():
    """The first convolution is linear, and the norm behind it divides by the deviation."""
    torch.manual_seed(0)
    stem = ConvolutionalStem(1, 4, 8)
    image = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(stem(3 * image), stem(image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("patch_size", "d_model", "message"),
    [
        (1, 8, "1, but `stem` .* needs a power of two"),
        (12, 8, "12, but `stem` .* needs a power of two"),
        (16, 12, "16, but `stem` .* needs `d_model` divisible by 8, not 12"),
    ],
)
def test_sizes_that_cannot_be_halved_are_refused(patch_size, d_model, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionalStem(3, patch_size, d_model)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_vit_with_either_stem_runs_forwards_and_backwards(stem, pooling):
    model = vit(Architecture(2, 2, 8, 16), 16, 4, 3, 5, pooling, stem=stem)
    images = torch.randn(2, 3, 16, 16)
    assert model.embedding(images).shape == (2, 16 + (pooling == "cls"), 8)
    assert model(images).shape == (2, 5)
    model(images).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
