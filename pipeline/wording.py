"""Formats numbers, counts and times for people."""

import math
import re
import textwrap
from collections.abc import Sequence

WIDTH = 80  # columns of a terminal
COMMAND = re.compile(r"`[^`]+`")


def number(value: float, sign: str = "") -> str:
    """A whole number, or four decimals (large numbers: one), with thousands separators.

    Numbers below 0.001 keep two significant digits.
    sign: '+' to write it before positive numbers.
    """
    if isinstance(value, int):
        return f"{value:{sign},}"
    if 0 < abs(value) < 0.001:
        return f"{value:{sign}.{_decimals(value, 2)}f}"
    return f"{value:{sign},.4f}" if abs(value) < 99.99995 else f"{value:{sign},.1f}"


def significant(value: float, digits: int = 3) -> str:
    """Rounded to significant digits, never with an exponent: '0.012', '4', '1,230'."""
    if not value or not math.isfinite(value):
        return f"{value:.0f}"
    places = _decimals(value, digits)
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def prefixed(value: float) -> str:
    """With an SI prefix: 3.2e9 is '3.2 G'."""
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= 0.9995 * size:
            return f"{significant(value / size)} {prefix}"
    return f"{value:,.0f} "


def counted(count: int | str, noun: str) -> str:
    """'1 target', '2 targets'; the count may already be formatted."""
    text = f"{count:,}" if isinstance(count, int) else count
    return f"{text} {noun}" + ("" if text == "1" else "s")


def listed(words: Sequence[str], last: str = "and") -> str:
    """'loss', 'loss and accuracy', 'loss, accuracy and time'; `last` is before the last word."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def duration(seconds: float) -> str:
    """'0:42', '12:05', '1:02:45'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def wrapped(text: str, indent: int = 2) -> str:
    """Wrapped to the width of a terminal; all lines but the first are indented by `indent` spaces.

    A command between backticks stays on one line, for copying.
    """
    whole = COMMAND.sub(lambda command: command[0].replace(" ", "\0"), text)
    lines = textwrap.fill(
        whole,
        WIDTH,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\0", " ")


def _decimals(value: float, digits: int) -> int:
    """The number of decimals for so many significant digits; negative for tens and more."""
    return digits - 1 - math.floor(math.log10(abs(value)))
