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

# A product of matrices is summed in the same order on all processors if each thread has at least so
# many rows and columns of the result, and its inner dimension is at most SHORT or at least LONG. On
# an AMD, the threads divide the larger of both dimensions; on an Intel, a small product has one
# thread. Found by comparing products of an Intel, of an AMD and of emulated processors, as
# benchmarks/products.py does, and on an AMD with 1 to 16 threads.
ROWS, COLUMNS = 4, 12
SHORT, LONG = 192, 384
# With at least so many threads for each matrix of a batch, an AMD divides the matrices unevenly.
UNEVEN = 3
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
        if _is_few(a):
            return torch.stack([x @ y for x, y in zip(a, b, strict=True)])
        rows, inner, columns = *a.shape[-2:], b.shape[-1]
        least_rows, least_columns = _least(rows, columns, a.ndim)
        if rows < least_rows:
            a = F.pad(a, (0, 0, 0, least_rows - rows))
        if columns < least_columns:
            b = F.pad(b, (0, least_columns - columns))
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
    least_rows, least_columns = _least(rows, columns, a.ndim)
    return (
        rows >= least_rows
        and columns >= least_columns
        and not SHORT < inner < LONG
        and not _is_few(a)
    )


def _least(rows: int, columns: int, dimensions: int) -> tuple[int, int]:
    """The rows and columns that a product needs. dimensions: 2, or 3 of a batch, whose matrices the
    threads do not divide."""
    threads = torch.get_num_threads() if dimensions == 2 else 1
    if max(rows, ROWS) < max(columns, COLUMNS):
        return ROWS, COLUMNS * threads
    return ROWS * threads, COLUMNS


def _is_few(a: Tensor) -> bool:
    """Whether `a` is a batch whose matrices are multiplied one by one."""
    return a.ndim == 3 and 0 < UNEVEN * len(a) <= max(UNEVEN, torch.get_num_threads())


def _is_wide(rows: int, inner: int, columns: int) -> bool:
    return rows >= WIDE_ROWS and columns >= WIDE_COLUMNS


def _matrix_vector(a: Tensor, x: Tensor) -> Tensor:
    """a @ x as the product of two matrices."""
    return (a @ x[:, None])[:, 0]


def exp(x: Tensor) -> Tensor:
    """e to the power of x, of any shape."""
    return (x * (1 / math.log(2))).exp2()


def log(x: Tensor) -> Tensor:
    """The natural logarithm of x, of any shape."""
    return x.log2() * math.log(2)


def sqrt(x: Tensor) -> Tensor:
    """The square root of x, of any shape."""
    return x.rsqrt().reciprocal()
