"""Which device computes, and how: the same result from the same parameters."""

import os

import torch

from pipeline.errors import UserError
from pipeline.params import Params


def prepare(params: Params) -> torch.device:
    """Choose the device, fix the threads and ask for deterministic algorithms.

    Raises:
        UserError: `device: cuda` on a machine without one.
    """
    # How sums are split among threads changes their last digits.
    torch.set_num_threads(params.threads)
    # cuBLAS picks deterministic algorithms only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory finds reads of uninitialised values, of which there are none; it costs.
    torch.utils.deterministic.fill_uninitialized_memory = False
    available = torch.cuda.is_available()
    if params.device == "cuda" and not available:
        said = "params.yaml: device: cuda, but torch sees no CUDA GPU; use auto or cpu"
        build = "" if torch.version.cuda else ", or `rm -r .venv && TORCH_BUILD=cuda ./run`"
        raise UserError(said + build)
    return torch.device("cpu" if params.device == "cpu" or not available else "cuda")


def name(device: torch.device) -> str:
    """The device in words: 'cpu', or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
