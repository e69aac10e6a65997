"""Whether torch can compile on this machine, asked before a training begins."""

import torch

from pipeline.errors import UserError, first_line


def require_compiler(name: str, device: torch.device) -> None:
    """Compile the smallest function there is for `device`.

    name: the model whose `train.compile` is true, for the message.

    Raises:
        UserError: it fails, as where there is no C++ compiler.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # of whichever part of the chain of tools is missing
        reason = first_line(getattr(error, "inner_exception", error))
        raise UserError(
            f"params.yaml: {name}.train.compile: true, but torch cannot compile here ({reason}); "
            "install a C++ compiler and Python's headers, such as Debian's packages g++ and "
            "python3-dev, or set it to false"
        ) from None
