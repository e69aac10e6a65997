"""How many processes can share the micro-batches of a step."""

from pipeline.errors import UserError


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
