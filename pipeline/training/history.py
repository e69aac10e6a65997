"""The history of a training: one row per step, one row per evaluation."""

import math
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.errors import UserError

Row = dict[str, float]


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

    def closing(self, names: Sequence[str], count: int) -> Row:
        """Means of these metrics over the last `count` steps: `closing_loss`, and so on."""
        rows = self.steps[-count:]
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
