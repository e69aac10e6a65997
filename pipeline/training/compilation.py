"""Checks that torch can compile on this machine, before training begins."""

import torch

from pipeline.errors import UserError, first_line


def require_compiler(name: str, device: torch.device) -> None:
    """Require that torch can compile for `device`.

    name: the model whose `train.compile` is true, for the error message.

    Raises:
        UserError: it fails, for example without a C++ compiler.
    """
    if missing := missing_compiler(device):
        raise UserError(f"params.yaml: {name}.train.compile: {missing}")


def missing_compiler(device: torch.device) -> str:
    """Why `compile: true` fails for `device`, and what to do; empty if torch can compile."""
    torch.use_deterministic_algorithms(True)  # also in the compiler: see `device.prepare`
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # depends on the missing part of the toolchain
        reason = first_line(getattr(error, "inner_exception", error))
        return (
            f"true, but torch cannot compile here ({reason}); install a C++ compiler and Python's "
            "headers (on Debian the packages g++ and python3-dev), or set it to false"
        )
    return ""
