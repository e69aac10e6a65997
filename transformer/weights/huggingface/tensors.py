"""Cleans the tensors of checkpoints: one name for each parameter, no buffers."""

from collections.abc import Callable

import torch
from torch import Tensor


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """`tensors` with the prefix that they have in a model with a head."""
    if any(name.startswith(prefix) for name in tensors):
        return tensors
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def without_constants(
    tensors: dict[str, Tensor], constants: dict[str, Callable[[Tensor], bool]]
) -> dict[str, Tensor]:
    """`tensors` without the buffers that a model computes itself.

    constants: name of each buffer, and a function that tells whether it has the expected values.

    Raises:
        ValueError: a buffer has other values, which would change the model.
    """
    for name in constants.keys() & tensors.keys():
        if not constants[name](tensors[name]):
            raise ValueError(f"{name}: this buffer has unusual values, which are not supported")
    return {name: tensor for name, tensor in tensors.items() if name not in constants}


def without_copies(tensors: dict[str, Tensor], copies: dict[str, str]) -> dict[str, Tensor]:
    """`tensors` with each tied weight once, under the name of the original.

    copies: name of the copy to name of the original; either or both may be in `tensors`.

    Raises:
        ValueError: copy and original differ.
    """
    kept = dict(tensors)
    for copy, original in copies.items():
        if copy in kept:
            tensor = kept.pop(copy)
            if not torch.equal(tensor, kept.setdefault(original, tensor)):
                raise ValueError(f"tie_word_embeddings: {copy} and {original} differ")
    return kept


def is_range(length: int) -> Callable[[Tensor], bool]:
    """Check for 0, 1, 2, ... `length` - 1 in a tensor of any shape."""
    return lambda tensor: tensor.flatten().tolist() == list(range(length))


def is_causal_mask(length: int) -> Callable[[Tensor], bool]:
    """Check for ones on and below the diagonal of (1, 1, length, length), zeros above."""
    mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
    return lambda tensor: torch.equal(tensor.bool(), mask) and bool((tensor <= 1).all())


def is_mask_value(tensor: Tensor) -> bool:
    """Check a tensor of any shape for numbers so low that a softmax gives them no weight."""
    return bool((tensor <= -1e4).all())


def is_close_to(expected: Tensor) -> Callable[[Tensor], bool]:
    """Check for `expected`, of any shape, up to the rounding of the tensor's type."""

    def check(tensor: Tensor) -> bool:
        if tensor.shape != expected.shape or not tensor.is_floating_point():
            return False
        rounding = 2 * torch.finfo(tensor.dtype).eps
        return torch.allclose(tensor.float(), expected.float(), rtol=rounding, atol=1e-12)

    return check
