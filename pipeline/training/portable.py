"""The kernels of `numerics: portable` that replace torch's own on the CPU; see numerics.py.

Importing this loads torch, so the environment must have been chosen before.
"""

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import DispatchKey, DispatchKeySet
from torch.library import Library, get_kernel

# A product of matrices is summed in the same order on all processors if it has at least so many
# rows and columns, and its inner dimension is at most the first number or at least the second.
# Found by comparing 4,000 products on a processor of Intel with an emulated one of AMD.
ROWS, COLUMNS = 4, 12
SHORT, LONG = 192, 384
FUSED = "_scaled_dot_product_flash_attention_for_cpu"


@cache
def replace_kernels() -> None:
    """Replace torch's kernels on the CPU, whoever calls them."""
    # The library is kept, since its end would bring the old kernels back.
    library = replace_kernels.library = Library("aten", "IMPL")  # type: ignore[attr-defined]
    kernels: dict[str, Callable[..., Any]] = {
        **_products("mm", "addmm"),
        **_products("bmm", "baddbmm"),
        "mv": _matrix_vector,
        "dot": lambda a, b: (a * b).sum(),
    }
    for name, own, first in ((FUSED, _attention, 0), (f"{FUSED}_backward", _d_attention, 1)):
        kernels[name] = _unfused(own, _kernel(name), first)
    for function in (exp, log, sqrt):
        for form in ("", ".out", "_"):
            name = f"{function.__name__}{form}"
            kernels[name] = _elementwise(function, _kernel(name), in_place=form == "_")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        for name, kernel in kernels.items():
            library.impl(name, kernel, "CPU")


def _elementwise(
    own: Callable[..., Tensor], kernel: Callable[..., Tensor], in_place: bool
) -> Callable[..., Any]:
    """`own` for float32 and float64, else torch's kernel."""

    def function(x: Tensor, *, out: Tensor | None = None) -> Tensor:
        if x.dtype not in (torch.float32, torch.float64):
            return kernel(x) if out is None else kernel(x, out=out)
        if in_place:
            return x.copy_(own(x))
        return own(x) if out is None else out.resize_(x.shape).copy_(own(x))

    return function


def _unfused(own: Callable[..., Any], fused: Callable[..., Any], first: int) -> Callable[..., Any]:
    """`own` for as many heads of queries as of keys, in float32; else torch's fused kernel.

    first: which argument has the queries, before the keys.
    """

    def kernel(*args: Any, **kwargs: Any) -> Any:
        q, k = args[first : first + 2]
        same = q.shape[1] == k.shape[1] and q.dtype == torch.float32
        return (own if same else fused)(*args, **kwargs)

    return kernel


def _kernel(name: str) -> Callable[..., Any]:
    """Torch's own kernel of an operator on the CPU."""
    kernel, keys = get_kernel(f"aten::{name}", "CPU"), DispatchKeySet(DispatchKey.CPU)
    return lambda *args, **kwargs: kernel.call_boxed(keys, *args, **kwargs)


def _products(name: str, added: str) -> dict[str, Callable[..., Any]]:
    """Kernels of a product, of a product that is added to a tensor, and of their other forms."""
    multiply, add_ = _kernel(name), _kernel(f"{added}_")

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

    def form(name: str) -> Callable[..., Any]:
        kernel = _kernel(name)

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


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """In place of the fused kernel, with its layout: attention, and an unused tensor.

    q: (B, n_head, T, d_head); k, v: (B, n_head, S, d_head). attn_mask: added to the scores,
    broadcast to (B, n_head, T, S). Torch does not take the fused kernel for dropout.
    """
    B, H, T, _ = q.shape
    out = _weights(q, k, is_causal, attn_mask, scale) @ v.flatten(0, 1)
    return _like_fused(out, q), q.new_empty((B, T, H)).transpose(1, 2)


def _d_attention(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    unused: Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `_attention` for q, k and v."""
    weights = _weights(q, k, is_causal, attn_mask, scale)  # (B * n_head, T, S), like the next two
    d_out = d_out.flatten(0, 1)
    d_weights = d_out @ v.flatten(0, 1).mT
    d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    d_scores = d_scores * (scale or q.shape[-1] ** -0.5)
    return (
        _like_fused(d_scores @ k.flatten(0, 1), q),
        _like_fused(d_scores.mT @ q.flatten(0, 1), k),
        _like_fused(weights.mT @ d_out, v),
    )


def _weights(
    q: Tensor, k: Tensor, is_causal: bool, attn_mask: Tensor | None, scale: float | None
) -> Tensor:
    """The weights of attention: (B * n_head, T, S)."""
    (B, H, T, d), S = q.shape, k.shape[2]
    mask = q.new_zeros(())
    if is_causal:
        mask = q.new_full((T, S), -torch.inf).triu(1)
    elif attn_mask is not None:
        mask = attn_mask.expand(B, H, T, S).flatten(0, 1)
    factors = q.flatten(0, 1), k.flatten(0, 1).mT
    scores = torch.baddbmm(mask, *factors, alpha=scale or d**-0.5)
    # Safe where all of a row is masked.
    return scores.softmax(-1) if attn_mask is None else torch._safe_softmax(scores, -1)


def _like_fused(x: Tensor, like: Tensor) -> Tensor:
    """(B * n_head, T, d_head) to (B, n_head, T, d_head), in memory as (B, T, n_head, d_head)."""
    return x.unflatten(0, like.shape[:2]).transpose(1, 2).contiguous().transpose(1, 2)
