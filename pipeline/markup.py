"""Markdown with safely escaped content."""

import re
from collections.abc import Iterable
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # except line ends and tabs


def table(header: Iterable[str], rows: Iterable[Iterable[Any]], align: str = "") -> str:
    """A Markdown table; `align` has an 'l' or an 'r' for each column (default: all left)."""
    header = list(header)
    rules = ["---:" if side == "r" else "---" for side in align or "l" * len(header)]
    lines = [header, rules, *([plain(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def fenced(text: str, language: str = "text") -> str:
    """A code block whose content can neither end it nor control a terminal."""
    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def plain(value: Any) -> str:
    """Text on one line, escaped so that it is neither markup nor the end of a table cell."""
    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"\s+", " ", str(value)))
    return re.sub(r"([\\`*_\[\]<>|#~$&!])", r"\\\1", text)
