"""The KV cache: keys and values of earlier tokens, so that a decoder processes each token once."""

from typing import Any

import torch
from torch import Tensor, nn


class KeyValueCache:
    """Space for `context` tokens in each row, allocated once; a token's slot is its position.

    Rows may hold different numbers of tokens. A chunk of tokens passes through the model in three
    steps: `place` gives its positions, each attention layer stores its keys and values with
    `extend`, and the caller passes the number of real tokens in each row to `advance`. Keys and
    values of padding are masked, and overwritten by the next chunk.

    lengths: (batch,) number of tokens in each row, on the CPU.
    """

    def __init__(self, batch: int, context: int, device: torch.device | None = None):
        self.context = context
        self.device = device
        self.lengths = torch.zeros(batch, dtype=torch.long)
        self._slots: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def place(self, count: int) -> tuple[Tensor, dict[str, Any]]:
        """Positions of the next `count` tokens, (T,) or (B, T), and their attention mask.

        Raises:
            ValueError: the tokens do not fit into a row.
        """
        first, last = self.lengths.aminmax()
        self._end = int(last) + count
        if self._end > self.context:
            raise ValueError(f"{self._end} tokens do not fit into a cache of {self.context}")
        # Rows of equal length, the usual case, need no mask and no scattered writes.
        self._even = bool(first == last)
        if self._even:
            self._positions = torch.arange(self._end - count, self._end, device=self.device)
            if count == 1:
                return self._positions, {}
            if count == self._end:
                return self._positions, {"is_causal": True}
        else:
            self._positions = (self.lengths[:, None] + torch.arange(count)).to(self.device)
        slots = torch.arange(self._end, device=self.device)
        visible = slots <= self._positions[..., None]
        return self._positions, {"attn_mask": visible if self._even else visible[:, None]}

    def extend(self, attention: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, n_kv_head, T, d_head) of `attention`; return all so far."""
        if attention not in self._slots:
            B, heads, _, width = k.shape
            shape = (B, heads, self.context, width)
            self._slots[attention] = k.new_zeros(shape), v.new_zeros(shape)
        kept = self._slots[attention]
        for slots, new in zip(kept, (k, v), strict=True):
            if self._even:
                slots[:, :, self._end - new.shape[2] : self._end] = new
            else:
                rows = torch.arange(len(new), device=new.device)[:, None]
                slots[rows, :, self._positions] = new.transpose(1, 2)
        return kept[0][:, :, : self._end], kept[1][:, :, : self._end]

    def advance(self, counts: Tensor) -> None:
        """Add `counts` (batch,), the number of real tokens in the last chunk, to the lengths."""
        self.lengths += counts

    def clear(self) -> None:
        """Remove all tokens; the memory stays allocated."""
        self.lengths.zero_()
