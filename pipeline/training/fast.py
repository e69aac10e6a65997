"""The kernels of `numerics: fast` that replace torch's own on a processor of AMD with AVX-512.

Torch multiplies with MKL, whose code for AMD has no AVX-512; oneDNN's has. The rule depends on the
processor and on shapes alone, never on a timing, so that a machine gives the same bits every time.
It follows from benchmarks/kernels-amd.md, of a Zen 5, and benchmarks/kernels-amd-zen-4.md, where
gradients of weights do not pay; benchmarks/kernels-intel.md gives no reason for one.
"""

from pipeline.training import composed_attention, onednn
from pipeline.training.kernels import Kernel, torch_kernel
from pipeline.training.numerics import has_wide_units

LEAST = 128  # rows, columns and inner dimension of a product for oneDNN
LEAST_WEIGHTS = 2**15  # of a gradient of weights, which it computes with a copy of a factor
LONGEST = 128  # keys of an attention that is composed of products


def kernels() -> dict[str, Kernel]:
    """By operator, the kernels in place of torch's."""
    torchs = {name: torch_kernel(name) for name in ("mm", "mm.out", "addmm", "addmm_")}
    of_weights = onednn.of_weights(_has_many_weights, torchs) if has_wide_units() else {}
    return {
        **of_weights,
        **onednn.kernels(_is_large, onednn.linear, torchs | of_weights),
        **composed_attention.kernels(longest=LONGEST),
    }


def _is_large(*shape: int) -> bool:
    return min(shape) >= LEAST


def _has_many_weights(rows: int, inner: int, columns: int) -> bool:
    return _is_large(rows, inner, columns) and rows * columns >= LEAST_WEIGHTS
