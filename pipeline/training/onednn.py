"""Products of matrices by oneDNN, in place of MKL, which torch takes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pipeline.training.kernels import Kernel


def linear(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b + bias by oneDNN: (N, inner), (inner, columns) and (columns,) to (N, columns)."""
    return torch.ops.mkldnn._linear_pointwise(a, b.T, bias, "none", [], "")


def kernels(
    suits: Callable[[int, int, int], bool],
    compute: Callable[..., Tensor],
    others: Mapping[str, Kernel],
) -> dict[str, Kernel]:
    """By operator, kernels for float32 that take the outputs of linear layers and the gradients of
    their inputs.

    suits: whether to take a product, by its rows, inner dimension and columns.
    compute: `linear`, or another function with its bits.
    others: kernels of the same operators for all else: first factors that are not contiguous, as in
        gradients of weights, since oneDNN would copy them; other types, biases and scales.
    """

    def taken(a: Tensor, b: Tensor) -> bool:
        return (
            a.ndim == b.ndim == 2
            and suits(len(a), len(b), b.shape[1])
            and a.dtype == b.dtype == torch.float32
            and a.is_contiguous()
            and (b.is_contiguous() or b.T.is_contiguous())
            and a.shape[1] == b.shape[0] > 0
        )

    def product(a: Tensor, b: Tensor) -> Tensor:
        return compute(a, b) if taken(a, b) else others["mm"](a, b)

    def product_into(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        if taken(a, b) and out.shape == (len(a), b.shape[1]) and out.dtype == a.dtype:
            return out.copy_(compute(a, b))
        return others["mm.out"](a, b, out=out)

    def added(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        if beta == alpha == 1 and taken(a, b) and _is_bias(c, b.shape[1]):
            return compute(a, b, c)
        return others["addmm"](c, a, b, beta=beta, alpha=alpha)

    return {"mm": product, "mm.out": product_into, "addmm": added}


def _is_bias(c: Tensor, columns: int) -> bool:
    """Whether oneDNN takes c as a bias. It reads another stride as 1."""
    return c.dtype == torch.float32 and c.shape == (columns,) and c.is_contiguous()
