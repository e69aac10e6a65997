"""Pieces of Markdown that what they hold cannot break out of."""

import re
from collections.abc import Iterable
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # but line ends and tabs


def table(header: Iterable[str], rows: Iterable[Iterable[Any]], align: str = "") -> str:
    """A Markdown table; `align` has an 'l' or an 'r' for each column (default: all left)."""
    header = list(header)
    rules = ["---:" if side == "r" else "---" for side in align or "l" * len(header)]
    lines = [header, rules, *([plain(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def fenced(text: str, language: str = "text") -> str:
    """A code block that its content cannot end, nor does it steer the terminal that shows it."""
    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def plain(value: Any) -> str:
    """Text on one line that does not become markup, nor leaves the cell of a table."""
    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"\s+", " ", str(value)))
    return re.sub(r"([\\`*_\[\]<>|#~$&!])", r"\\\1", text)
