"""How a model knows the order of its input: positions that are added, and positions that rotate."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """A trained vector per position, as in BERT, GPT-2 and ViT."""

    def __init__(self, length: int, d_model: int):
        super().__init__(length, d_model)

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """(B, T, d_model) with the vectors of its positions added.

        position_ids: (T,) or (B, T); None counts from zero.

        Raises:
            ValueError: a sequence that is longer than the table.
        """
        return x + self.weight[_rows(self.weight, x, position_ids)]


class Tables(nn.Module):
    """Buffers with values that follow from the sizes of a model, and so are not in its checkpoint.

    They are float32, whatever the default type and the type of the parameters, and keep their
    values: `to`, `half`, `to_empty` and their like move them to another device, and no more. On
    the meta device, which has no values, they stay where they are.
    """

    def keep(self, name: str, table: Tensor) -> None:
        """Make `table` the attribute `name`, on torch's default device."""
        device = torch.get_default_device()
        table = table if device.type == "meta" else table.to(device)
        self.register_buffer(name, table, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Tables":
        tables = dict(self._buffers)
        super()._apply(fn, recurse)  # what torch's own methods, such as `to`, are made of
        for name, table in tables.items():
            device = self._buffers[name].device
            self._buffers[name] = table if device.type == "meta" else table.to(device)
        return self


class SinusoidalPositions(Tables):
    """Fixed sines and cosines (Vaswani et al. 2017, "Attention Is All You Need", section 3.5)."""

    def __init__(self, length: int, d_model: int):
        super().__init__()
        frequency = torch.exp(_range(0, d_model, 2) * (-math.log(10_000.0) / d_model))
        angles = _range(length)[:, None] * frequency
        self.keep("table", torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1))

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """(B, T, d_model) with the vectors of its positions added; see LearnedPositions."""
        rows = _rows(self.table, x, position_ids)
        return (x + self.table.to(x.device)[rows]).to(x.dtype)


class NoPositions(nn.Module):
    """Nothing is added: the order comes in elsewhere (see Rotary), or not at all."""

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """`x` as it is."""
        return x


class Rotary(Tables):
    """Queries and keys turned by an angle that grows with their position, so that their product
    depends on the distance alone (Su et al. 2021, "RoFormer", section 3.2).

    The first half of a head is paired with its second half, as Llama does.

    length: positions at most.
    theta: base of the frequencies, in radians per position, see `rotary_frequencies`.
    scaling: changes the frequencies, for contexts longer than those trained on; none by default.
    """

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
        angles = _range(length)[:, None] * frequencies
        self.keep("cosine", angles.cos())
        self.keep("sine", angles.sin())

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """Queries or keys (B, n_head, T, d_head), turned; position_ids as in LearnedPositions."""
        rows = _rows(self.sine, x, position_ids)
        tables = (self.cosine.to(x.device), self.sine.to(x.device))
        cosine, sine = (table[rows].unsqueeze(-3) for table in tables)
        first, second = x.chunk(2, dim=-1)
        turned = (first * cosine - second * sine, second * cosine + first * sine)
        return torch.cat(turned, dim=-1).to(x.dtype)


class NoRotation(nn.Module):
    """Queries and keys know no position of their own."""

    def forward(self, x: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """`x` as it is."""
        return x


def rotary_frequencies(d_head: int, theta: float = 10_000.0) -> Tensor:
    """theta^(-2i / d_head) for i = 0 .. d_head / 2 - 1, in float32 on the CPU (Su et al. 2021,
    section 3.3)."""
    return 1.0 / theta ** (_range(0, d_head, 2) / d_head)


def _range(*limits: int) -> Tensor:
    """torch.arange of what a table is computed from: in float32 on the CPU, also where torch's
    defaults are others."""
    return torch.arange(*limits, dtype=torch.float32, device="cpu")


def _rows(table: Tensor, x: Tensor, position_ids: Tensor | None) -> Tensor | slice:
    """Which rows of a table of positions belong to x (..., T, d)."""
    length = x.shape[-2]
    if position_ids is None and length > len(table):
        raise ValueError(f"a sequence of {length} is longer than the {len(table)} positions of "
                         "the model")
    return slice(length) if position_ids is None else position_ids
