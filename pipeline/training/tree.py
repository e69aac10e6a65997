"""The fixed tree in which the gradients of micro-batches are summed.

Its shape depends on their number alone, so that the sum has the same bits whoever computes which
part. See `processes`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.errors import UserError

Leaf = list[Tensor] | None  # the tensors of a leaf; None counts as nothing, not as zeros


def tree(first: int, count: int, leaf: Callable[[int], Leaf]) -> Leaf:
    """The sum of leaves `first` to `first + count - 1`, in the order of the fixed tree.

    A tree over an even number of leaves adds the sums of its halves; over an odd number it adds the
    leaves from left to right. Memory: a sum for each level.

    leaf: computes a leaf; its tensors are overwritten.
    """
    if count == 1:
        return leaf(first)
    branches, size = (2, count // 2) if count % 2 == 0 else (count, 1)
    total = None
    for branch in range(branches):
        part = tree(first + branch * size, size, leaf)
        if total is None:
            total = part
        elif part is not None:
            torch._foreach_add_(total, part)
    return total


def sizes(accumulate: int) -> list[int]:
    """The numbers of processes at which each one gets a subtree of the tree over `accumulate`
    micro-batches: the powers of two that divide it, and `accumulate` itself."""
    powers = [2**k for k in range(accumulate.bit_length()) if accumulate % 2**k == 0]
    return sorted({*powers, accumulate})


def require_size(size: int, accumulate: int) -> None:
    """Check that `size` processes can share `accumulate` micro-batches.

    Raises:
        UserError: they cannot; the message has the numbers of processes that can.
    """
    possible = sizes(accumulate)
    if size not in possible:
        fits = "a multiple of " if size in sizes(2 * size) else ""
        raise UserError(
            f"{size} processes cannot share the {accumulate} micro-batches of a step "
            f"(`train.accumulate`): use {' or '.join(map(str, possible))}, or set "
            f"`train.accumulate` to {fits}{size}"
        )
