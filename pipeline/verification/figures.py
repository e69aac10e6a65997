"""Figures by name, recorded and ours, beside each other."""

import reprlib
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxlist, _SHORT.maxother = 50, 5, 50


def differences(
    theirs: dict[str, Any], ours: dict[str, Any], whence: str = "now", tolerance: float = 0.0
) -> list[tuple[str, float]]:
    """Both values of every figure that differs, in words, and by how much of it they differ.

    whence: ours come. tolerance: floats that differ by no more are equal; other values have none.
    """
    found = []
    for name in ours | theirs:
        size = float("inf")
        if name in theirs and name in ours:
            size = _distance(theirs[name], ours[name])
        if not size <= (tolerance if isinstance(ours.get(name), float) else 0.0):
            recorded, known = (
                _SHORT.repr(side[name]) if name in side else "none" for side in (theirs, ours)
            )
            found.append((f"{name}: {recorded} recorded, {known} {whence}", size))
    return found


def _distance(theirs: Any, ours: Any) -> float:
    """Relative; infinite between what are no numbers."""
    if theirs == ours:
        return 0.0
    if not (isinstance(theirs, int | float) and isinstance(ours, int | float)):
        return float("inf")
    return abs(theirs - ours) / max(abs(theirs), 1e-12)
