"""The history of a training: one row per step, one row per evaluation, written as CSV."""

import csv
import math
from collections import deque
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.paths import replacing

Row = dict[str, float]
# Columns of position and optimizer; the other columns belong to the task.
NOT_OF_THE_TASK = ("step", "tokens", "images", "lr", "grad_norm", "delta_w")


class History:
    """Metrics of every step, which stay on the device until they are needed.

    Fetching a number waits for the GPU to finish. Therefore the loop appends tensors, and `flush`
    fetches them together.
    """

    def __init__(self, steps: list[Row] | None = None, evaluations: list[Row] | None = None):
        self.steps = steps or []
        self.evaluations = evaluations or []
        self._pending: list[tuple[Row, dict[str, Tensor]]] = []
        self._watched: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def append(self, known: Row, on_device: dict[str, Tensor]) -> None:
        """Add a step: known numbers, and scalars on the device.

        Raises:
            UserError: a recent loss is infinite or NaN: the training has diverged.
        """
        self._pending.append((known, on_device))
        self._watch(on_device["loss"])

    def closing(self, count: int) -> Row:
        """Means of the task's metrics over the last `count` steps: `closing_loss`, and so on."""
        rows = self.steps[-count:]
        names = [name for name in rows[0] if name not in NOT_OF_THE_TASK]
        return {f"closing_{name}": sum(row[name] for row in rows) / len(rows) for name in names}

    def _watch(self, loss: Tensor) -> None:
        """Detect a diverged loss a few steps later, without waiting for the device."""
        if loss.is_cuda:
            host = torch.empty((), pin_memory=True).copy_(loss, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
            self._watched.append((host, arrived))
        else:
            self._watched.append((loss, None))
        while self._watched and (self._watched[0][1] is None or self._watched[0][1].query()):
            value, _ = self._watched.popleft()
            if not math.isfinite(value):
                self.flush()

    def flush(self) -> None:
        """Fetch the rows appended since the last flush.

        Raises:
            UserError: a loss is infinite or NaN: the training has diverged.
        """
        if not self._pending:
            return
        tensors = [torch.stack([t.float() for t in row.values()]) for _, row in self._pending]
        values = torch.stack(tensors).tolist()
        rows = [
            known | dict(zip(on_device, numbers, strict=True))
            for (known, on_device), numbers in zip(self._pending, values, strict=True)
        ]
        self._pending.clear()
        self._watched.clear()
        self.steps += rows
        for row in rows:
            if not math.isfinite(row["loss"]):
                raise UserError(
                    f"the training has diverged: loss {row['loss']} at step {row['step']} "
                    f"(lr {row['lr']:.3g}, gradient norm {row['grad_norm']:.3g}); "
                    "use a lower learning rate, gradient clipping or a longer warm-up"
                )


def mean(histories: list[list[Row]]) -> list[Row]:
    """Rows averaged over trainings with different seeds; steps, tokens and images are equal for all
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
