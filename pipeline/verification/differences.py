"""Compares recorded metrics with ours, by name."""

import reprlib
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxlist, _SHORT.maxother = 50, 5, 50


def differences(
    theirs: dict[str, Any], ours: dict[str, Any], source: str = "now", tolerance: float = 0.0
) -> list[tuple[str, float]]:
    """For each metric that differs: a line with both values, and the relative difference.

    source: of our values, for the line.
    tolerance: relative, for floats; other values must be equal.
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
            found.append((f"{name}: {recorded} recorded, {known} {source}", size))
    return found


def _distance(theirs: Any, ours: Any) -> float:
    """The relative difference; infinite if a value is not a number."""
    if theirs == ours:
        return 0.0
    if not (isinstance(theirs, int | float) and isinstance(ours, int | float)):
        return float("inf")
    return abs(theirs - ours) / max(abs(theirs), 1e-12)
