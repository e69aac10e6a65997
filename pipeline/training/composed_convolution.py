"""Convolution as products of matrices, in place of oneDNN's on the CPU, whose order of sums depends
on the instructions that it may use."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.training.kernels import Kernel, torch_kernel

Sizes = Sequence[int]  # of height and width, or one for both


def kernels() -> dict[str, Kernel]:
    """Its kernels of the forward and the backward pass.

    They take images in float32 whose channels are one group; torch's kernels take all else, and
    explain what is wrong.
    """

    def composed(own: Kernel, name: str, first: int) -> Kernel:
        """first: which argument has the images."""
        torchs = torch_kernel(name)

        def kernel(*args: Any) -> Any:
            x, weight, bias, stride, _, _, transposed, _, groups = args[first : first + 9]
            biases = list(bias.shape) if isinstance(bias, Tensor) else bias
            taken = (
                x.ndim == weight.ndim == 4
                and x.shape[1] == weight.shape[1]
                and biases in (None, [0], [len(weight)])  # [0]: torch's size of none
                and x.numel() > 0
                and min(stride) > 0
                and x.dtype == weight.dtype == torch.float32
                and not transposed
                and groups == 1
            )
            return (own if taken else torchs)(*args)

        return kernel

    backward = "convolution_backward"
    return {
        "convolution": composed(convolution, "convolution", 0),
        backward: composed(d_convolution, backward, 1),
    }


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    *_: Any,
) -> Tensor:
    """(B, channels, H, W) to (B, d_model, rows, columns).

    weight: (d_model, channels, height, width); bias: (d_model,).
    """
    kernel = _pair(weight.shape[2:])
    strides, paddings, dilations = _pair(stride), _pair(padding), _pair(dilation)
    rows, columns = (
        (size + 2 * pad - dilated * (length - 1) - 1) // step + 1
        for size, pad, dilated, length, step in zip(
            x.shape[2:], paddings, dilations, kernel, strides, strict=True
        )
    )
    patches = F.unfold(x, kernel, dilations, paddings, strides)
    out = _repeated(weight, len(x)) @ patches  # (B, d_model, rows * columns)
    if bias is not None:
        out += bias[:, None]
    return out.unflatten(2, (rows, columns))


def d_convolution(
    d_out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sizes | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of `convolution` that are wanted, shaped like `x`, `weight` and `bias`.

    d_out: (B, d_model, rows, columns).
    """
    kernel = _pair(weight.shape[2:])
    places = _pair(dilation), _pair(padding), _pair(stride)
    d_out = d_out.flatten(2)  # (B, d_model, rows * columns)
    d_x = d_weight = d_bias = None
    if wanted[0]:
        d_patches = _repeated(weight, len(x)).mT @ d_out
        d_x = F.fold(d_patches, _pair(x.shape[2:]), kernel, *places)
    if wanted[1]:
        patches = F.unfold(x, kernel, *places)
        d_weight = (d_out @ patches.mT).sum(0).view_as(weight)
    if wanted[2]:
        d_bias = d_out.sum((0, 2))
    return d_x, d_weight, d_bias


def _pair(sizes: Sizes) -> tuple[int, int]:
    return sizes[0], sizes[-1]


def _repeated(weight: Tensor, count: int) -> Tensor:
    """As the matrix of each image: (count, d_model, channels * height * width)."""
    return weight.flatten(1).expand(count, -1, -1)
