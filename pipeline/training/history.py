"""The record of a training: one row a step, one row an evaluation, written as CSV."""

import csv
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import UserError

Row = dict[str, float]


class History:
    """Figures of every step, kept on the device until they are needed.

    Fetching a number from a GPU waits for it to finish; so the loop appends tensors, and `flush`
    fetches them all in one go.
    """

    def __init__(self, steps: list[Row] | None = None, evaluations: list[Row] | None = None):
        self.steps = steps or []
        self.evaluations = evaluations or []
        self._pending: list[tuple[Row, dict[str, Tensor]]] = []

    def append(self, known: Row, on_device: dict[str, Tensor]) -> None:
        """Add a step: numbers that are known, and scalars that are on the device."""
        self._pending.append((known, on_device))

    def flush(self) -> list[Row]:
        """Fetch what was appended since the last time, and return it.

        Raises:
            UserError: a loss that is infinite or not a number: the training has diverged.
        """
        if not self._pending:
            return []
        tensors = [torch.stack([t.float() for t in row.values()]) for _, row in self._pending]
        values = torch.stack(tensors).tolist()
        rows = [
            known | dict(zip(on_device, numbers, strict=True))
            for (known, on_device), numbers in zip(self._pending, values, strict=True)
        ]
        self._pending.clear()
        self.steps += rows
        for row in rows:
            if not math.isfinite(row["loss"]):
                raise UserError(
                    f"the training has diverged: loss {row['loss']} at step {row['step']} "
                    f"(lr {row['lr']:.3g}, gradient norm {row['grad_norm']:.3g}); "
                    "lower the learning rate, clip the gradient or warm up for longer"
                )
        return rows


def write_csv(rows: list[Row], path: Path) -> None:
    """Write rows with the keys of the first as the header; floats with six significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _format(value) for key, value in row.items()} for row in rows)


def _format(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
