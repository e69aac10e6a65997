"""The speed of a large product of matrices, beside which that of a training is seen."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

ORDER = 2048  # rows and columns of the matrices
TIMES = 3


def products() -> dict[str, Callable[[], Tensor]]:
    """The product of two (ORDER, ORDER) matrices in float32 on the CPU, by both libraries that
    torch has for it."""
    a, b = torch.ones(2, ORDER, ORDER)
    found: dict[str, Callable[[], Tensor]] = {"MKL": lambda: a @ b}
    if torch.backends.mkldnn.is_available():
        onednn = torch.ops.mkldnn._linear_pointwise
        found["oneDNN"] = lambda: onednn(a, b, None, "none", [], "")
    return found


def peak() -> float:
    """FLOP/s of the fastest of some such products, with the kernels and threads of this process."""

    def seconds(call: Callable[[], Tensor]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return 2 * ORDER**3 / min(seconds(call) for call in products().values() for _ in range(TIMES))
