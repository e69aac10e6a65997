"""Which kernels compute on the CPU: `numerics` in params.yaml.

fast: those that PyTorch chooses for the processor. Another processor gives other last digits.

portable: the same bits on every x86-64 processor with AVX2, of any vendor. Its parts:

- MKL's products in strict reproducible mode, with AVX2 on every processor ("Obtaining Numerically
  Reproducible Results" in Intel's guide to oneMKL). Between vendors their bits still differ for
  some inner dimensions; such products are computed in two parts.
- Attention as such products, since torch's fused kernel for CPUs has products of its own.
- Torch's own vector code, and oneDNN's convolutions, with AVX2 on every processor.
- exp, log and sqrt from others of torch's functions, because MKL computes them.

Not portable are erf, erfinv and the inverse trigonometric functions of tensors, which MKL computes
too; nothing here needs them, and GELU does not.

This module imports torch only where it has been loaded, since `choose` must come before it.
"""

import math
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Numerics = Literal["portable", "fast"]

# Read by MKL, torch and oneDNN, once.
PORTABLE = {
    "MKL_CBWR": "AVX2,STRICT",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
# Inner dimensions up to the first and from the second are summed in the same order on all
# processors; see tests/pipeline/training/test_numerics.py.
SHORT, LONG = 192, 384


def choose(numerics: Numerics) -> None:
    """Set the environment for `numerics`. Torch must not be loaded yet.

    Raises:
        UserError: it is.
    """
    if numerics == "fast" or _chosen():
        return
    if "torch" in sys.modules:
        raise UserError(
            "params.yaml: numerics: portable must be chosen before torch is loaded: call "
            "`pipeline.training.numerics.choose` before other imports, or set "
            + " ".join(f"{key}={value}" for key, value in PORTABLE.items())
        )
    os.environ.update(PORTABLE)


def use(numerics: Numerics) -> None:
    """Compute with the kernels of `numerics` from now on, in this process.

    Raises:
        UserError: portable numerics were not chosen in time, or this processor has none.
    """
    if numerics == "fast":
        return
    import torch

    choose(numerics)
    capability = torch.backends.cpu.get_cpu_capability()
    if capability != "AVX2" or not torch.backends.mkl.is_available():
        raise UserError(
            "params.yaml: numerics: portable needs an x86-64 processor with AVX2, and a torch with "
            f"MKL; here torch uses {capability}; take fast"
        )
    _split_products()


def _chosen() -> bool:
    return all(os.environ.get(key) == value for key, value in PORTABLE.items())


@cache
def _split_products() -> None:
    """Replace torch's kernels of products on the CPU, whoever calls them."""
    from torch.library import Library

    # The library is kept, since its end would bring the old kernels back.
    library = _split_products.library = Library("aten", "IMPL")  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        for name, add in (("mm", "addmm_"), ("bmm", "baddbmm_")):
            for each in (name, f"{name}.out", f"{add[:-1]}", f"{add[:-1]}.out", add):
                library.impl(each, _in_two(_kernel(each), _kernel(add)), "CPU")
        for function in (exp, log, sqrt):
            name = function.__name__
            library.impl(name, function, "CPU")
            library.impl(f"{name}.out", lambda x, *, out, f=function: out.copy_(f(x)), "CPU")
            library.impl(f"{name}_", lambda x, f=function: x.copy_(f(x)), "CPU")
        library.impl("_scaled_dot_product_flash_attention_for_cpu", _attention, "CPU")
        library.impl("_scaled_dot_product_flash_attention_for_cpu_backward", _d_attention, "CPU")


def _kernel(name: str) -> Callable[..., Any]:
    """Torch's own kernel of an operator on the CPU."""
    from torch._C import DispatchKey, DispatchKeySet
    from torch.library import get_kernel

    kernel, keys = get_kernel(f"aten::{name}", "CPU"), DispatchKeySet(DispatchKey.CPU)
    return lambda *args, **kwargs: kernel.call_boxed(keys, *args, **kwargs)


def _in_two(product: Callable[..., "Tensor"], add_: Callable[..., "Tensor"]) -> Callable[..., Any]:
    """The product with its inner dimension in two parts, if it is neither short nor long.

    product: takes the factors (..., rows, inner) and (..., inner, columns) last.
    add_: adds a product to a tensor in place.
    """

    def kernel(*args: Any, **kwargs: Any) -> "Tensor":
        *added, a, b = args
        if not SHORT < a.shape[-1] < LONG:
            return product(*args, **kwargs)
        result = product(*added, a[..., :SHORT], b[..., :SHORT, :], **kwargs)
        return add_(result, a[..., SHORT:], b[..., SHORT:, :], alpha=kwargs.get("alpha", 1))

    return kernel


def exp(x: "Tensor") -> "Tensor":
    """e to the power of x."""
    return (x * (1 / math.log(2))).exp2()


def log(x: "Tensor") -> "Tensor":
    """The natural logarithm."""
    return x.log2() * math.log(2)


def sqrt(x: "Tensor") -> "Tensor":
    """The square root."""
    return x.rsqrt().reciprocal()


def _attention(
    q: "Tensor",
    k: "Tensor",
    v: "Tensor",
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: "Tensor | None" = None,
    scale: float | None = None,
) -> tuple["Tensor", "Tensor"]:
    """In place of the fused kernel: attention, and its weights for the backward pass.

    q: (B, n_head, T, d_head); k, v: (B, n_head, S, d_head). attn_mask: added to the scores,
    broadcast to (B, n_head, T, S). Torch does not take the fused kernel for dropout.
    """
    import torch

    (B, H, T, d), S = q.shape, k.shape[2]
    mask = q.new_zeros(())
    if is_causal:
        mask = q.new_full((T, S), -torch.inf).triu(1)
    elif attn_mask is not None:
        mask = attn_mask.expand(B, H, T, S).flatten(0, 1)
    q, k, v = (each.flatten(0, 1) for each in (q, k, v))
    scores = torch.baddbmm(mask, q, k.mT, alpha=scale or d**-0.5)  # (B * n_head, T, S)
    # Safe where all of a row is masked.
    weights = scores.softmax(-1) if attn_mask is None else torch._safe_softmax(scores, -1)
    return (weights @ v).unflatten(0, (B, H)), weights


def _d_attention(
    d_out: "Tensor",
    q: "Tensor",
    k: "Tensor",
    v: "Tensor",
    out: "Tensor",
    weights: "Tensor",
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: "Tensor | None" = None,
    scale: float | None = None,
) -> tuple["Tensor", "Tensor", "Tensor"]:
    """The gradients of `_attention` for q, k and v."""
    import torch

    heads = q.shape[:2]
    scale = scale or q.shape[-1] ** -0.5
    d_out, q, k, v = (each.flatten(0, 1) for each in (d_out, q, k, v))
    d_weights = d_out @ v.mT  # (B * n_head, T, S), like the next
    d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype) * scale
    return (
        (d_scores @ k).unflatten(0, heads),
        (d_scores.mT @ q).unflatten(0, heads),
        (weights.mT @ d_out).unflatten(0, heads),
    )
