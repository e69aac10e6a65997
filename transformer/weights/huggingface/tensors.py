"""Tensors that checkpoints of transformers hold besides the parameters: checked, then left out."""

from collections.abc import Callable

import torch
from torch import Tensor


def without_constants(
    tensors: dict[str, Tensor], constants: dict[str, Callable[[Tensor], bool]]
) -> dict[str, Tensor]:
    """`tensors` without the buffers that a model makes by itself.

    constants: by the end of their names, whether a tensor is what ours is.

    Raises:
        ValueError: a buffer differs, so that the model would too.
    """
    kept = {}
    for name, tensor in tensors.items():
        checks = [check for suffix, check in constants.items() if name.endswith(suffix)]
        if not checks:
            kept[name] = tensor
        elif not checks[0](tensor):
            raise ValueError(f"{name}: a buffer with values of its own, which is not supported")
    return kept


def without_copies(tensors: dict[str, Tensor], copies: dict[str, str]) -> dict[str, Tensor]:
    """`tensors` without those that are tied to another one, and were saved all the same.

    copies: name of the copy to name of the original.

    Raises:
        ValueError: the two differ.
    """
    for copy, original in copies.items():
        both = [tensors[name] for name in (copy, original) if name in tensors]
        if len(both) == 2 and not torch.equal(*both):
            raise ValueError(f"tie_word_embeddings: {copy} and {original} differ")
    return {name: tensor for name, tensor in tensors.items() if name not in copies}


def is_range(tensor: Tensor) -> bool:
    """0, 1, 2, ..."""
    return torch.equal(tensor.flatten(), torch.arange(tensor.numel(), dtype=tensor.dtype))


def is_causal_mask(tensor: Tensor) -> bool:
    """Ones on and below the diagonal."""
    square = tensor.reshape(tensor.shape[-2:])
    return torch.equal(square, torch.ones_like(square).tril())


def is_hiding(tensor: Tensor) -> bool:
    """A number so low that what it is added to vanishes in a softmax."""
    return bool((tensor <= -1e4).all())
