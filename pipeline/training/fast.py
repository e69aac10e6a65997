"""The kernels of `numerics: fast` that replace torch's own on a processor of AMD with AVX-512.

Torch multiplies with MKL, whose code for AMD has no AVX-512; oneDNN's has. The rule depends on the
processor and on shapes alone, never on a timing, so that a machine gives the same bits every time.
It follows from benchmarks/kernels-amd.md; benchmarks/kernels-intel.md gives no reason for one.
"""

import torch
from torch import Tensor

from pipeline.training import composed_attention
from pipeline.training.kernels import Kernel, torch_kernel

LEAST = 128  # rows, columns and inner dimension of a product for oneDNN
LONGEST = 128  # keys of an attention that is composed of products


def kernels() -> dict[str, Kernel]:
    """By operator, the kernels in place of torch's."""
    mm, mm_out, addmm = (torch_kernel(name) for name in ("mm", "mm.out", "addmm"))

    def product(a: Tensor, b: Tensor) -> Tensor:
        return _linear(a, b) if _suits(a, b) else mm(a, b)

    def product_into(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        if _suits(a, b) and out.shape == (len(a), b.shape[1]) and out.dtype == a.dtype:
            return out.copy_(_linear(a, b))
        return mm_out(a, b, out=out)

    def added(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        if beta == alpha == 1 and _suits(a, b) and _is_bias(c, b.shape[1]):
            return _linear(a, b, c)
        return addmm(c, a, b, beta=beta, alpha=alpha)

    return {
        "mm": product,
        "mm.out": product_into,
        "addmm": added,
        **composed_attention.kernels(longest=LONGEST),
    }


def _linear(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b + bias by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(a, b.T, bias, "none", [], "")


def _suits(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN is the faster one for a @ b: for the output and the input's gradient of a
    linear layer, but not for the weight's gradient, whose transposed first factor it copies."""
    return (
        a.ndim == b.ndim == 2
        and a.dtype == b.dtype == torch.float32
        and a.is_contiguous()
        and (b.is_contiguous() or b.T.is_contiguous())
        and a.shape[1] == b.shape[0]
        and min(*a.shape, b.shape[1]) >= LEAST
    )


def _is_bias(c: Tensor, columns: int) -> bool:
    """Whether oneDNN takes c as a bias. It reads another stride as 1."""
    return c.dtype == torch.float32 and c.shape == (columns,) and c.is_contiguous()
