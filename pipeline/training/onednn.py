"""Products of matrices by oneDNN, in place of MKL, which torch takes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.training.kernels import Kernel


def linear(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b + bias by oneDNN: (N, inner), (inner, columns) and (columns,) to (N, columns)."""
    return torch.ops.mkldnn._linear_pointwise(a, b.T, bias, "none", [], "")


def d_weight(d_out: Tensor, x: Tensor) -> Tensor:
    """The gradient of a layer's weight, d_out.T @ x: (N, columns) and (N, inner), both contiguous,
    to (columns, inner).

    oneDNN copies a first factor that is transposed: here the narrower of both.
    """
    if x.shape[1] <= d_out.shape[1]:
        return linear(x.T, d_out).T.contiguous()
    return linear(d_out.T, x)


def multiplying(kernel: Kernel) -> Kernel:
    """Torch's kernel of products in float32, of any layout, but multiplying by oneDNN.

    Torch calls oneDNN only where this setting allows bfloat16 inside. The environment must keep it
    to instructions that have none, ONEDNN_MAX_CPU_ISA=AVX512_CORE: then it computes in float32. The
    setting is the process's, so other threads of Python must not multiply meanwhile.
    """
    # Its module has this property by a class of its own, which its types do not show.
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]

    def product(*args: Any, **options: Any) -> Tensor:
        before = settings.fp32_precision
        try:
            settings.fp32_precision = "bf16"
            return kernel(*args, **options)
        finally:
            settings.fp32_precision = before

    return product


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
        gradients of weights, since oneDNN would copy them (see `of_weights`); other types, biases
        and scales.
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


def of_weights(
    suits: Callable[[int, int, int], bool], others: Mapping[str, Kernel]
) -> dict[str, Kernel]:
    """By operator, kernels for float32 that take the gradients of weights, and their sums over
    parts of a batch. `suits` and `others` as for `kernels`."""

    def taken(a: Tensor, b: Tensor) -> bool:
        return (
            a.ndim == b.ndim == 2
            and suits(len(a), len(b), b.shape[1])
            and a.dtype == b.dtype == torch.float32
            and a.T.is_contiguous()
            and b.is_contiguous()
            and a.shape[1] == b.shape[0]
        )

    def product(a: Tensor, b: Tensor) -> Tensor:
        return d_weight(a.T, b) if taken(a, b) else others["mm"](a, b)

    def add(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        fits = alpha == 1 and beta in (0, 1) and taken(a, b)
        if not fits or c.shape != (len(a), b.shape[1]) or c.dtype != a.dtype:
            return others["addmm_"](c, a, b, beta=beta, alpha=alpha)
        return c.add_(d_weight(a.T, b)) if beta else c.copy_(d_weight(a.T, b))

    return {"mm": product, "addmm_": add}


def _is_bias(c: Tensor, columns: int) -> bool:
    """Whether oneDNN takes c as a bias. It reads another stride as 1."""
    return c.dtype == torch.float32 and c.shape == (columns,) and c.is_contiguous()
