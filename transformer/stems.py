"""Stems of ViT: from an image to a vector for each patch, (B, channels, H, W) to
(B, d_model, H / patch_size, W / patch_size)."""

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import check_convolutions


class PatchProjection(nn.Conv2d):
    """A linear projection of each patch, of which none overlap (Dosovitskiy et al. 2021,
    "An Image is Worth 16x16 Words", section 3.1).

    It has the weights of a convolution, but multiplies matrices, which takes less time on a CPU.

    patch_size: height and width of a patch, or one number for both.
    """

    def __init__(
        self, channels: int, patch_size: int | tuple[int, int], d_model: int, bias: bool = True
    ):
        super().__init__(channels, d_model, kernel_size=patch_size, stride=patch_size, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, d_model, H // height, W // width): a rest at the bottom and on
        the right is left out, as by a convolution."""
        height, width = self.kernel_size
        rows, columns = images.shape[2] // height, images.shape[3] // width
        images = images[..., : rows * height, : columns * width]
        # (B, channels, rows, height, columns, width)
        patches = images.unflatten(3, (columns, width)).unflatten(2, (rows, height))
        # (B, rows, columns, channels * height * width)
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(patches, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def image_norm(channels: int) -> nn.GroupNorm:
    """Normalises all channels and positions of an image together, with a weight and a bias for
    each channel (Wu and He 2018, "Group Normalization", with one group)."""
    return nn.GroupNorm(1, channels)


class ConvolutionalStem(nn.Sequential):
    """Convolutions of 3 x 3 and stride 2, each with a norm and ReLU, until a position is a patch;
    then one of 1 x 1 (Xiao et al. 2021, "Early Convolutions Help Transformers See Better",
    section 4). The number of channels doubles at each, up to d_model.

    The paper has batch norm. With it the loss would depend on how a batch is cut into
    micro-batches, and evaluation would need running means, which are no weights. A norm of each
    image alone has neither.

    patch_size: a power of two from 2 on; d_model must be divisible by half of it.
    norm: the norm for a number of channels.

    Raises:
        ValueError: they are not.
    """

    def __init__(
        self,
        channels: int,
        patch_size: int,
        d_model: int,
        norm: Callable[[int], nn.Module] = image_norm,
    ):
        check_convolutions(patch_size, d_model)
        halvings = patch_size.bit_length() - 1
        widths = [channels, *(d_model >> left for left in reversed(range(halvings)))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            # No bias: the norm has one.
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [convolution, norm(after), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(d_model, d_model, kernel_size=1))

    @property
    def in_channels(self) -> int:
        """The number of channels of an image."""
        return self.convolutions[0].in_channels

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """Those of 3 x 3, which ReLU follows."""
        return [layer for layer in list(self)[:-1] if isinstance(layer, nn.Conv2d)]

    @property
    def weight(self) -> Tensor:
        """Of the last convolution: (d_model, d_model, 1, 1)."""
        last = self[-1]
        assert isinstance(last, nn.Conv2d)
        return last.weight


# By the name in params.yaml; the arguments are channels, patch_size and d_model.
STEMS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "linear": PatchProjection,
    "convolutional": ConvolutionalStem,
}
