"""Chooses the device and makes computation deterministic."""

import ctypes
import os

import torch

from pipeline.errors import UserError
from pipeline.training import numerics as kernels
from pipeline.training.numerics import Numerics

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def prepare(wanted: str, threads: int, numerics: Numerics) -> torch.device:
    """Choose the device, the kernels and the number of threads, and make them deterministic.

    wanted: auto, cpu or cuda.

    Raises:
        UserError: `device: cuda` on a machine without a GPU; OpenMP may not start `threads`
            threads; or see `numerics.use`.
    """
    kernels.use(numerics)
    _require_threads(threads)
    keep_freed_memory()
    # The number of threads changes the last digits of sums.
    torch.set_num_threads(threads)
    # cuBLAS is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same as torch.use_deterministic_algorithms(True), without importing the compiler, which
    # takes seconds; `compilation` sets the compiler's own switch.
    torch.set_deterministic_debug_mode("error")
    # Filling memory only helps to debug reads of uninitialised values, and takes time.
    # Its module has a class with this property, which its types do not show.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        said = "params.yaml: device: cuda, but torch sees no CUDA GPU; use auto or cpu"
        build = "" if torch.version.cuda else ", or `rm -r .venv && TORCH_BUILD=cuda ./run`"
        raise UserError(said + build)
    if wanted == "cpu" or not available:
        return torch.device("cpu")
    # Each process of a launcher has a GPU of its own, if there are enough.
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cuda")


def _require_threads(threads: int) -> None:
    """Require that OpenMP may start that many."""
    limit, dynamic = (os.environ.get(key, "") for key in ("OMP_THREAD_LIMIT", "OMP_DYNAMIC"))
    if limit.strip().lstrip("+").isdigit() and int(limit) < threads:
        setting = f"OMP_THREAD_LIMIT={limit}"
    elif dynamic.strip().lower() == "true" and threads > 1:
        setting = f"OMP_DYNAMIC={dynamic}"
    else:
        return
    raise UserError(
        f"params.yaml: threads: {threads}, but with {setting} OpenMP may start fewer, and torch "
        "may then hang or compute garbage; unset this variable"
    )


def keep_freed_memory() -> None:
    """Let glibc's malloc keep large blocks that are freed, as torch's own allocator does on a GPU.

    Else every step gives its activations back, and the kernel fills new ones with zeros, page by
    page. benchmarks/training.py measures what that takes. The peak of memory stays the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def name(device: torch.device) -> str:
    """'cpu', or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
