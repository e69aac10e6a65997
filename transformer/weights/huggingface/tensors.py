"""Tensors of checkpoints under one name each; what is no parameter is checked, then left out."""

from collections.abc import Callable

import torch
from torch import Tensor


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """`tensors` of a model without a head, under the names that they have in one with a head."""
    if any(name.startswith(prefix) for name in tensors):
        return tensors
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def without_constants(
    tensors: dict[str, Tensor], constants: dict[str, Callable[[Tensor], bool]]
) -> dict[str, Tensor]:
    """`tensors` without the buffers that a model makes by itself.

    constants: by their names, whether a tensor is what ours is.

    Raises:
        ValueError: a buffer differs, so that the model would too.
    """
    for name in constants.keys() & tensors.keys():
        if not constants[name](tensors[name]):
            raise ValueError(f"{name}: a buffer with values of its own, which is not supported")
    return {name: tensor for name, tensor in tensors.items() if name not in constants}


def without_copies(tensors: dict[str, Tensor], copies: dict[str, str]) -> dict[str, Tensor]:
    """`tensors` with each tied one once, under the name of the original, whichever was saved.

    copies: name of the copy to name of the original.

    Raises:
        ValueError: the two differ.
    """
    kept = dict(tensors)
    for copy, original in copies.items():
        if copy in kept:
            tensor = kept.pop(copy)
            if not torch.equal(tensor, kept.setdefault(original, tensor)):
                raise ValueError(f"tie_word_embeddings: {copy} and {original} differ")
    return kept


def is_range(length: int) -> Callable[[Tensor], bool]:
    """0, 1, 2, ... up to `length`."""
    return lambda tensor: tensor.flatten().tolist() == list(range(length))


def is_causal_mask(length: int) -> Callable[[Tensor], bool]:
    """Ones on and below the diagonal of (1, 1, length, length)."""
    mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
    return lambda tensor: torch.equal(tensor.bool(), mask) and bool((tensor <= 1).all())


def is_hiding(tensor: Tensor) -> bool:
    """A number so low that what it is added to vanishes in a softmax."""
    return bool((tensor <= -1e4).all())


def is_close_to(expected: Tensor) -> Callable[[Tensor], bool]:
    """`expected`, but for the rounding of the tensor's own type."""

    def check(tensor: Tensor) -> bool:
        if tensor.shape != expected.shape or not tensor.is_floating_point():
            return False
        rounding = 2 * torch.finfo(tensor.dtype).eps
        return torch.allclose(tensor.float(), expected.float(), rtol=rounding, atol=1e-12)

    return check
