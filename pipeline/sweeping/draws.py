"""The overrides of each experiment: a grid, the lines of a file, or random draws.

The notation is Hydra's, as in `dvc exp run -S`: `a=1,2`, `choice(1,2)`, `range(1,4)`; for random
draws also `interval(0,0.3)`, `int(interval(1,8))` and `tag(log,interval(0.0001,0.01))`.
"""

import math
import random
import shlex
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, first_line
from pipeline.overrides import combinations

Overrides = tuple[str, ...]
TRIES = 1000  # draws of combinations that were drawn before, until there seem to be no others


def grid(overrides: list[str]) -> list[Overrides]:
    """All combinations, the last override varying fastest.

    Raises:
        ParamsError: an override cannot be read.
        UserError: one has an interval, which has no list of values.
    """
    for override in overrides:
        if "interval(" in override:
            raise UserError(f"-S {override}: an interval needs random draws: --random N")
    return _distinct(combinations(overrides))


def listed(file: Path, overrides: list[str]) -> list[Overrides]:
    """The grid of each line, with `overrides` added to all. Empty lines and comments are skipped.

    Raises:
        ParamsError: an override cannot be read.
        UserError: a line cannot be read, or the file has none.
    """
    found: list[list[str]] = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UserError(f"{file}, line {number}: {error}") from None
        if words:
            found += map(list, grid([*words, *overrides]))
    if not found:
        raise UserError(f"{file}: no overrides; expected a line for each experiment, as in lr=0.1")
    return _distinct(found)


def drawn(overrides: list[str], count: int, seed: int) -> list[Overrides]:
    """`count` different random combinations; the same for the same overrides and seed, and the
    first ones of a larger count.

    Raises:
        UserError: an override cannot be read, none has several values, or there are fewer
            combinations.
    """
    from dvc.utils.hydra import to_hydra_overrides

    try:
        parsed = to_hydra_overrides(overrides)
    except Exception as error:  # of Hydra's parser
        raise UserError(f"-S {' -S '.join(overrides)}: {first_line(error)}") from None
    rng = random.Random(seed)
    found: dict[Overrides, None] = {}
    for _ in range(count + TRIES):
        found[tuple(_draw(each, rng) for each in parsed)] = None
        if len(found) == count:
            return list(found)
    raise UserError(f"--random {count}: there are only {len(found)} different combinations")


def _draw(override: Any, rng: random.Random) -> str:
    if not override.is_sweep_override():
        return override.input_line
    if override.is_interval_sweep():
        interval = override.value()
        if "log" in interval.tags and interval.start <= 0:
            raise UserError(f"-S {override.input_line}: a logarithm needs an interval above 0")
        value = _number(interval, rng)
    else:
        value = rng.choice(list(override.sweep_string_iterator()))
    return f"{override.get_key_element()}={value}"


def _number(interval: Any, rng: random.Random) -> str:
    """Of an interval; integers with both ends included, others with three significant digits."""
    low, high = interval.start, interval.end
    if "log" in interval.tags:
        value = math.exp(rng.uniform(math.log(low), math.log(high)))
    elif isinstance(low, int):
        return str(rng.randint(low, high))
    else:
        value = rng.uniform(low, high)
    return str(round(value)) if isinstance(low, int) else f"{value:.3g}"


def _distinct(found: list[list[str]]) -> list[Overrides]:
    return list(dict.fromkeys(map(tuple, found)))
