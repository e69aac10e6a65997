"""Torch's kernels on the CPU, and others in their place."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch._C import DispatchKey, DispatchKeySet
from torch.library import Library, get_kernel

Kernel = Callable[..., Any]


def torch_kernel(name: str) -> Kernel:
    """The kernel that an operator, such as `mm.out`, has now, even if it is replaced later.

    It holds Python's lock while it computes, so that other threads of Python wait.
    """
    kernel, keys = get_kernel(f"aten::{name}", "CPU"), DispatchKeySet(DispatchKey.CPU)
    return lambda *args, **kwargs: kernel.call_boxed(keys, *args, **kwargs)


def replace(kernels: Mapping[str, Kernel]) -> None:
    """Replace torch's kernels of these operators for good, whoever calls them."""
    # The library is kept, since its end would bring the old kernels back.
    library = Library("aten", "IMPL")
    _LIBRARIES.append(library)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        for name, kernel in kernels.items():
            library.impl(name, kernel, "CPU")


_LIBRARIES: list[Library] = []
