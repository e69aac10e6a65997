"""The kernels of `numerics: portable` that replace torch's own on the CPU; see numerics.py.

Importing this loads torch, so the environment must have been chosen before.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.training import composed_attention, onednn
from pipeline.training.kernels import Kernel, torch_kernel

# A product of matrices is summed in the same order on all processors if it has at least so many
# rows and columns, and its inner dimension is at most the first number or at least the second.
# Found by comparing 4,000 products on a processor of Intel with an emulated one of AMD, in a wider
# draw than that of benchmarks/products.py.
ROWS, COLUMNS = 4, 12
SHORT, LONG = 192, 384
# Wide products, such as the logits of a vocabulary, are oneDNN's. It sums them in the same order on
# all processors, and on an AMD it is faster at them than MKL; on an Intel they were not compared.
WIDE_ROWS, WIDE_COLUMNS = 64, 4096


def kernels() -> dict[str, Kernel]:
    """By operator, the kernels in place of torch's."""
    products = _products("mm", "addmm")
    found: dict[str, Kernel] = {
        **products,
        **onednn.kernels(_is_wide, products),
        **_products("bmm", "baddbmm"),
        **composed_attention.kernels(),
        "mv": _matrix_vector,
        "dot": lambda a, b: (a * b).sum(),
    }
    for function in (exp, log, sqrt):
        for form in ("", ".out", "_"):
            name = f"{function.__name__}{form}"
            found[name] = _elementwise(function, torch_kernel(name), in_place=form == "_")
    return found


def _elementwise(
    own: Callable[..., Tensor], kernel: Callable[..., Tensor], in_place: bool
) -> Kernel:
    """`own` for float32 and float64, else torch's kernel."""

    def function(x: Tensor, *, out: Tensor | None = None) -> Tensor:
        if x.dtype not in (torch.float32, torch.float64):
            return kernel(x) if out is None else kernel(x, out=out)
        if in_place:
            return x.copy_(own(x))
        return own(x) if out is None else out.resize_(x.shape).copy_(own(x))

    return function


def _products(name: str, added: str) -> dict[str, Kernel]:
    """Kernels of a product, of a product that is added to a tensor, and of their other forms."""
    multiply, add_ = torch_kernel(name), torch_kernel(f"{added}_")

    def product(a: Tensor, b: Tensor) -> Tensor:
        """a @ b, in shapes that are summed in the same order everywhere."""
        if a.ndim == 3 and len(a) == 1:
            return (a[0] @ b[0])[None]
        rows, inner, columns = *a.shape[-2:], b.shape[-1]
        if rows < ROWS:
            a = F.pad(a, (0, 0, 0, ROWS - rows))
        if columns < COLUMNS:
            b = F.pad(b, (0, COLUMNS - columns))
        if SHORT < inner < LONG:
            result = multiply(a[..., :SHORT], b[..., :SHORT, :])
            add_(result, a[..., SHORT:], b[..., SHORT:, :])
        else:
            result = multiply(a, b)
        return result[..., :rows, :columns].contiguous()

    def form(name: str) -> Kernel:
        kernel = torch_kernel(name)

        def portable(
            *args: Any, beta: float = 1, alpha: float = 1, out: Tensor | None = None
        ) -> Tensor:
            *to, a, b = args
            same = _is_portable(a, b) and (alpha == 1 or a.shape[-1] > 1)
            if same or a.dtype != torch.float32:
                scales = {"beta": beta, "alpha": alpha} if to else {}
                return kernel(*args, **scales, **({} if out is None else {"out": out}))
            result = product(a, b)
            if alpha != 1:
                result *= alpha
            if to and beta != 0:
                result += to[0] if beta == 1 else to[0] * beta
            if out is not None:
                return out.resize_(result.shape).copy_(result)
            return to[0].copy_(result) if name.endswith("_") else result

        return portable

    names = [name, f"{name}.out", added, f"{added}.out", f"{added}_"]
    return {each: form(each) for each in names}


def _is_portable(a: Tensor, b: Tensor) -> bool:
    """Whether MKL sums the product a @ b in the same order on every processor."""
    rows, inner, columns = *a.shape[-2:], b.shape[-1]
    return (
        rows >= ROWS
        and columns >= COLUMNS
        and not SHORT < inner < LONG
        and not (a.ndim == 3 and len(a) == 1)
    )


def _is_wide(rows: int, inner: int, columns: int) -> bool:
    return rows >= WIDE_ROWS and columns >= WIDE_COLUMNS


def _matrix_vector(a: Tensor, x: Tensor) -> Tensor:
    """a @ x as the product of two matrices."""
    return (a @ x[:, None])[:, 0]


def exp(x: Tensor) -> Tensor:
    """e to the power of x."""
    return (x * (1 / math.log(2))).exp2()


def log(x: Tensor) -> Tensor:
    """The natural logarithm."""
    return x.log2() * math.log(2)


def sqrt(x: Tensor) -> Tensor:
    """The square root."""
    return x.rsqrt().reciprocal()
