"""The kernels of `numerics: portable` that replace torch's own on the CPU; see numerics.py.

Importing this loads torch, so the environment must have been chosen before.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.training import composed_attention, composed_convolution, onednn
from pipeline.training.kernels import Kernel, torch_kernel
from pipeline.training.numerics import AVX2, AVX512_OF_MKL, AVX512_OF_ONEDNN, PRODUCTS

# A product of matrices is summed in the same order on all processors if each thread has at least so
# many rows and columns of the result, and the inner dimension is summed in blocks of BLOCK, one
# after another. On an AMD, the threads divide the larger of both dimensions; on an Intel, a small
# product has one thread. From twice BLOCK on, MKL's AVX2 kernels have these blocks; between, theirs
# depend on the vendor. Those of its AVX-512 kernels are twice as long. Found by comparing products
# of an Intel, of an AMD and of emulated processors, as benchmarks/products.py does, and on an AMD
# with 1 to 16 threads.
ROWS, COLUMNS = 4, 12
BLOCK = 192
# With at least so many threads for each matrix of a batch, an AMD divides the matrices unevenly.
UNEVEN = 3
# Wide products, such as the logits of a vocabulary, are oneDNN's. It sums them in the same order on
# all processors, and on an AMD it is faster at them than MKL. Neither it nor MKL's AVX-512 kernels,
# which are faster, divide an inner dimension up to UNDIVIDED.
WIDE_ROWS, WIDE_COLUMNS, UNDIVIDED = 64, 4096, 384
# With AVX-512, oneDNN has the bits of MKL in each block, and is faster in most blocks of so many
# rows and columns, and multiplications; see benchmarks/kernels-amd.md.
NARROWEST, LEAST = 32, 2**22
# Held while a setting of torch, which is the process's, is another, and by what depends on it.
SETTINGS = threading.RLock()


def kernels() -> dict[str, Kernel]:
    """By operator, the kernels in place of torch's."""
    products = _products("mm", "addmm")
    found: dict[str, Kernel] = {
        **products,
        **onednn.kernels(_is_wide, _wide(), products),
        **_products("bmm", "baddbmm"),
        **composed_attention.kernels(),
        **composed_convolution.kernels(),
        "mv": _matrix_vector,
        "dot": _dot(torch_kernel("dot")),
    }
    for name in ("gelu_backward", "gelu_backward.grad_input"):
        found[name] = _alone(torch_kernel(name))
    for form in ("", ".out", "_"):
        for function in (exp, log, sqrt):
            name = f"{function.__name__}{form}"
            found[name] = _elementwise(function, torch_kernel(name), in_place=form == "_")
        found[f"gelu{form}"] = _by_torch(torch_kernel(f"gelu{form}"))
    return found


def _by_torch(kernel: Kernel) -> Kernel:
    """A kernel that does not call oneDNN, whose bits depend on the instructions."""

    def function(*args: Any, **options: Any) -> Tensor:
        enabled = torch._C._get_mkldnn_enabled()
        try:
            torch._C._set_mkldnn_enabled(False)
            return kernel(*args, **options)
        finally:
            torch._C._set_mkldnn_enabled(enabled)

    return _alone(function)


def _alone(kernel: Kernel) -> Kernel:
    """A kernel that no other thread of Python disturbs."""

    def function(*args: Any, **options: Any) -> Tensor:
        with SETTINGS:
            return kernel(*args, **options)

    return function


def _dot(kernel: Kernel) -> Kernel:
    def dot(a: Tensor, b: Tensor) -> Tensor:
        taken = a.ndim == b.ndim == 1 and len(a) == len(b) and a.dtype == b.dtype == torch.float32
        return (a * b).sum() if taken else kernel(a, b)

    return dot


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
    multiply, add_ = _block(name), _block(f"{added}_")
    dimensions = 3 if name == "bmm" else 2

    def summed(kernel: Kernel, *args: Any, **options: Any) -> Tensor:
        """What the kernel computes, its last two arguments being passed in blocks."""
        *to, a, b = args
        if _is_whole(a, b):
            return kernel(*args, **options)
        first, *others = zip(a.split(BLOCK, -1), b.split(BLOCK, -2), strict=True)
        result = kernel(*to, *first, **options)
        for block in others:
            add_(result, *block, alpha=options.get("alpha", 1))
        return result

    def filled(a: Tensor, b: Tensor) -> Tensor:
        """a @ b, in shapes that are summed in the same order everywhere."""
        if _is_few(a):
            return torch.stack([x @ y for x, y in zip(a, b, strict=True)])
        rows, columns = a.shape[-2], b.shape[-1]
        least_rows, least_columns = _least(rows, columns, a.ndim)
        if rows < least_rows:
            a = F.pad(a, (0, 0, 0, least_rows - rows))
        if columns < least_columns:
            b = F.pad(b, (0, least_columns - columns))
        return summed(multiply, a, b)[..., :rows, :columns].contiguous()

    def form(name: str) -> Kernel:
        kernel = _block(name)

        def portable(
            *args: Any, beta: float = 1, alpha: float = 1, out: Tensor | None = None
        ) -> Tensor:
            *to, a, b = args
            options = ({"beta": beta, "alpha": alpha} if to else {}) | (
                {} if out is None else {"out": out}
            )
            fits = a.ndim == b.ndim == dimensions and a.shape[-1] == b.shape[-2]
            if a.dtype != torch.float32 or not fits:  # the kernel explains what is wrong
                return kernel(*args, **options)
            # The product of a single column and row is scaled in other ways.
            if _is_large(a, b) and (alpha == 1 or a.shape[-1] % BLOCK != 1):
                return summed(kernel, *args, **options)
            result = filled(a, b)
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


def _is_large(a: Tensor, b: Tensor) -> bool:
    """Whether MKL sums each block of a @ b in the same order on every processor."""
    rows, columns = a.shape[-2], b.shape[-1]
    least_rows, least_columns = _least(rows, columns, a.ndim)
    return rows >= least_rows and columns >= least_columns and not _is_few(a)


def _block(name: str) -> Kernel:
    """Torch's kernel of a product of one block, by the faster library."""
    by_mkl = torch_kernel(name)
    by_onednn = onednn.multiplying(by_mkl)

    def kernel(*args: Any, **options: Any) -> Tensor:
        a, b = args[-2:]
        taken = (
            _suits_onednn(a, b)
            and a.dtype == torch.float32
            # It scales in another way.
            and options.get("alpha", 1) == 1
            and options.get("beta", 1) in (0, 1)
        )
        return (by_onednn if taken else by_mkl)(*args, **options)

    return _alone(kernel) if PRODUCTS == AVX512_OF_ONEDNN else by_mkl


def _suits_onednn(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN's AVX-512 is faster than MKL's AVX2."""
    if a.ndim != 2 or b.ndim != 2:
        return False
    (rows, inner), columns = a.shape, b.shape[1]
    return min(rows, columns) >= NARROWEST and rows * min(inner, BLOCK) * columns >= LEAST


def _is_whole(a: Tensor, b: Tensor) -> bool:
    """Whether the library has blocks of BLOCK by itself, or needs none."""
    by_mkl = PRODUCTS == AVX512_OF_ONEDNN and not _suits_onednn(a, b)
    inner = a.shape[-1]
    return inner <= BLOCK or (inner >= 2 * BLOCK and (PRODUCTS == AVX2 or by_mkl))


def _least(rows: int, columns: int, dimensions: int) -> tuple[int, int]:
    """The rows and columns that a product needs. dimensions: 2, or 3 of a batch, whose matrices the
    threads do not divide."""
    threads = torch.get_num_threads() if dimensions == 2 else 1
    if max(rows, ROWS) < max(columns, COLUMNS):
        return ROWS, COLUMNS * threads
    return ROWS * threads, COLUMNS


def _is_few(a: Tensor) -> bool:
    """Whether `a` is a batch whose matrices are multiplied one by one."""
    return a.ndim == 3 and 0 < UNEVEN * a.shape[0] <= max(UNEVEN, torch.get_num_threads())


def _is_wide(rows: int, inner: int, columns: int) -> bool:
    return rows >= WIDE_ROWS and columns >= WIDE_COLUMNS and inner <= UNDIVIDED


def _wide() -> Callable[..., Tensor]:
    """a @ b + bias, of wide products."""
    if PRODUCTS != AVX512_OF_MKL:
        return onednn.linear
    multiply, add = torch_kernel("mm"), torch_kernel("addmm")
    return lambda a, b, bias=None: multiply(a, b) if bias is None else add(bias, a, b)


def _matrix_vector(a: Tensor, x: Tensor) -> Tensor:
    """a @ x as the product of two matrices."""
    return (a @ x[:, None])[:, 0]


def exp(x: Tensor) -> Tensor:
    """e to the power of x, of any shape."""
    return (x * (1 / math.log(2))).exp2()


def log(x: Tensor) -> Tensor:
    """The natural logarithm of x, of any shape."""
    y = x.double() + 0.0  # not minus zero, whose inverse is negative
    inverted = (y < 0.5) & (y > -1)  # y - 1 would lose the digits of small ones
    result = (torch.where(inverted, 1 / y, y) - 1).log1p()
    return torch.where(inverted, -result, result).to(x.dtype)


def sqrt(x: Tensor) -> Tensor:
    """The square root of x, of any shape."""
    return x.rsqrt().reciprocal()
