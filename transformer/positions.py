"""Position encodings: vectors added to the embedding, or rotations of queries and keys."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """A trained vector for each position, as in BERT, GPT-2 and ViT."""

    def __init__(self, length: int, d_model: int):
        super().__init__(length, d_model)

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """(B, T, d_model) plus the position vectors.

        position_ids: (T,) or (B, T); None counts from zero.

        Raises:
            ValueError: the sequence is longer than the table.
        """
        return x + self.weight[_rows(self.weight, x, position_ids)]


class Tables(nn.Module):
    """Buffers whose values follow from the model's sizes, and so are not in its checkpoint.

    They are always float32, whatever torch's default type and the type of the parameters, and keep
    their values: `to`, `half`, `to_empty` and so on only move them to another device. They do not
    move to the meta device, which has no values.
    """

    def keep(self, name: str, table: Tensor) -> None:
        """Register `table` (length, d) as the buffer `name`, on torch's default device."""
        device = torch.get_default_device()
        table = table if device.type == "meta" else table.to(device)
        self.register_buffer(name, table, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Tables":
        tables = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # `to` and its like call `_apply`
        for name, table in tables.items():
            device = self.get_buffer(name).device
            self._buffers[name] = table if device.type == "meta" else table.to(device)
        return self


class SinusoidalPositions(Tables):
    """Fixed sines and cosines (Vaswani et al. 2017, "Attention Is All You Need", section 3.5)."""

    table: Tensor  # (length, d_model)

    def __init__(self, length: int, d_model: int):
        super().__init__()
        frequency = torch.exp(_range(0, d_model, 2) * (-math.log(10_000.0) / d_model))
        angles = _range(length)[:, None] * frequency  # (length, d_model / 2)
        # Sine and cosine of each angle in turn: (length, d_model).
        self.keep("table", torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1))

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """(B, T, d_model) plus the position vectors; see LearnedPositions."""
        rows = _rows(self.table, x, position_ids)
        return (x + self.table.to(x.device)[rows]).to(x.dtype)


class NoPositions(nn.Module):
    """Adds nothing: the model gets the order from Rotary, or not at all."""

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """`x` as it is."""
        return x


class Rotary(Tables):
    """Rotates queries and keys by an angle proportional to their position, so that their product
    depends only on the distance (Su et al. 2021, "RoFormer", section 3.2).

    Pairs the first half of a head with its second half, as Llama does.

    length: maximum number of positions.
    theta: base of the frequencies, see `rotary_frequencies`.
    scaling: changes the frequencies, for contexts longer than in training; none by default.
    """

    cosine: Tensor  # (length, d_head / 2), as sine
    sine: Tensor

    def __init__(
        self,
        length: int,
        d_head: int,
        theta: float = 10_000.0,
        scaling: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()
        self.theta = theta
        self.scaling = scaling
        frequencies = rotary_frequencies(d_head, theta)
        frequencies = scaling(frequencies) if scaling else frequencies
        angles = _range(length)[:, None] * frequencies  # (length, d_head / 2)
        self.keep("cosine", angles.cos())
        self.keep("sine", angles.sin())

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """Rotate queries or keys (B, n_head, T, d_head); position_ids as in LearnedPositions."""
        rows = _rows(self.sine, x, position_ids)
        tables = (self.cosine.to(x.device), self.sine.to(x.device))
        # (1, T, d_head / 2), or (B, 1, T, d_head / 2): the same for all heads
        cosine, sine = (table[rows].unsqueeze(-3) for table in tables)
        first, second = x.chunk(2, dim=-1)  # (B, n_head, T, d_head / 2) both
        turned = (first * cosine - second * sine, second * cosine + first * sine)
        return torch.cat(turned, dim=-1).to(x.dtype)


class NoRotation(nn.Module):
    """No rotation of queries and keys."""

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """`x` as it is."""
        return x


def rotary_frequencies(d_head: int, theta: float = 10_000.0) -> Tensor:
    """theta^(-2i / d_head) for i = 0 .. d_head / 2 - 1, in radians per position (Su et al. 2021,
    section 3.3).

    Returns (d_head / 2,) in float32 on the CPU.
    """
    return 1.0 / theta ** (_range(0, d_head, 2) / d_head)


def _range(*limits: int) -> Tensor:
    """torch.arange in float32 on the CPU, whatever torch's defaults."""
    return torch.arange(*limits, dtype=torch.float32, device="cpu")


def _rows(table: Tensor, x: Tensor, position_ids: Tensor | None) -> Tensor | slice:
    """Rows of a table of positions for x (..., T, d)."""
    length = x.shape[-2]
    if position_ids is None and length > len(table):
        raise ValueError(
            f"a sequence of {length} is longer than the {len(table)} positions of the model"
        )
    return slice(length) if position_ids is None else position_ids
