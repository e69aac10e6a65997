"""Learning curves as CSV: one row per step, or one per evaluation."""

import csv
from pathlib import Path
from typing import Any

from pipeline.paths import replacing

STEPS, EVALUATIONS = "history.csv", "validation.csv"
UNITS = ("tokens", "images", "words")  # of what a model has seen: see `Task.unit`
COUNTED = ("step", *UNITS)  # columns of whole numbers
Row = dict[str, float]


def mean(histories: list[list[Row]]) -> list[Row]:
    """Rows averaged over trainings with different seeds; steps and units seen are equal for all
    seeds."""
    if len(histories) == 1:
        return histories[0]
    return [
        {
            key: first if isinstance(first, int) else sum(row[key] for row in rows) / len(rows)
            for key, first in rows[0].items()
        }
        for rows in zip(*histories, strict=True)
    ]


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows, with the keys of the first as the header.

    Floats have nine significant digits, enough for any single-precision number.
    """
    with replacing(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _format(value) for key, value in row.items()} for row in rows)


def _format(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def read_csv(path: Path) -> list[Row]:
    """The rows that `write_csv` wrote."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [
            {key: int(value) if key in COUNTED else float(value) for key, value in row.items()}
            for row in csv.DictReader(lines)
        ]
