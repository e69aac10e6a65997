"""The KV cache: keys and values of earlier tokens, so that a decoder processes each token once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transformer.patterns import AttentionPattern, MaskArguments


class KeyValueCache:
    """Space for `capacity` tokens in each row, allocated once; a token's slot is its position.

    Rows may hold different numbers of tokens. A chunk of tokens passes through the model in three
    steps: `positions_and_mask` gives its positions, each attention layer stores its keys and values
    with `extend`, and the caller passes the number of real tokens in each row to `advance`. Keys
    and values of padding are masked, and overwritten by the next chunk.

    lengths: (B,) number of tokens in each row, on the CPU.
    memory: keys and values (B, n_kv_head, S, d_head) of the encoder's output, by cross-attention
        layer; empty until the first chunk of an encoder-decoder. Fewer than B rows if several rows
        in succession share a source.
    memory_mask: the mask of the encoder's output.
    """

    def __init__(self, batch: int, capacity: int, device: torch.device | None = None):
        self.capacity = capacity
        self.device = device
        self.lengths = torch.zeros(batch, dtype=torch.long)
        self.memory: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self.memory_mask: MaskArguments = {}
        self._slots: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._pattern: AttentionPattern | None = None
        self._pattern_mask: Tensor | None = None

    def positions_and_mask(
        self, count: int, pattern: AttentionPattern
    ) -> tuple[Tensor, MaskArguments]:
        """Positions of the next `count` tokens, (T,) or (B, T), and what they see: the same tokens
        as in a forward pass over all tokens.

        Raises:
            ValueError: the tokens do not fit into a row; or the pattern is not causal, or needs a
                mask, which a cache cannot serve.
        """
        if pattern is not self._pattern:
            self._pattern_mask = _looking_back(pattern, self.capacity)
            self._pattern = pattern
        first, last = self.lengths.aminmax()
        self._end = int(last) + count
        if self._end > self.capacity:
            raise ValueError(f"{self._end} tokens do not fit into a cache of {self.capacity}")
        # Rows of equal length, the usual case, need no scattered writes, and often no mask.
        self._even = bool(first == last)
        if self._even:
            positions = torch.arange(self._end - count, self._end, device=self.device)  # (T,)
        else:
            positions = (self.lengths[:, None] + torch.arange(count)).to(self.device)  # (B, T)
        self._positions = positions
        return self._positions, self._mask(count)

    def _mask(self, count: int) -> MaskArguments:
        """The mask of the last `count` tokens of each row."""
        if self._pattern_mask is not None:
            # (H, T, S), or with rows of different lengths (H, B, T, S); H is n_head or 1.
            mask = self._pattern_mask.to(self.device)[:, self._positions, : self._end]
            return {"attn_mask": mask if self._even else mask.transpose(0, 1)}
        if self._even and count == 1:
            return {}
        if self._even and count == self._end:
            return {"is_causal": True}
        slots = torch.arange(self._end, device=self.device)  # (S,)
        visible = slots <= self._positions[..., None]  # (T, S) or (B, T, S)
        # (T, S) or (B, 1, T, S)
        return {"attn_mask": visible if self._even else visible[:, None]}

    def extend(self, attention: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, n_kv_head, T, d_head) of `attention`; return all so far,
        (B, n_kv_head, S, d_head)."""
        if attention not in self._slots:
            B, heads, _, width = k.shape
            shape = (B, heads, self.capacity, width)
            self._slots[attention] = k.new_empty(shape), v.new_empty(shape)
        kept = self._slots[attention]
        for slots, new in zip(kept, (k, v), strict=True):
            added = slots[:, :, self._end - new.shape[2] : self._end]
            if self._even:
                added.copy_(new)
            else:
                added.zero_()  # shorter rows leave some free: they are masked, but must be finite
                rows = torch.arange(len(new), device=new.device)[:, None]  # (B, 1)
                # Indexing puts (B, T) before the sliced dimension: (B, T, n_kv_head, d_head).
                slots[rows, :, self._positions] = new.transpose(1, 2)
        return kept[0][:, :, : self._end], kept[1][:, :, : self._end]

    def advance(self, counts: Tensor) -> None:
        """Add `counts` (B,), the number of real tokens in the last chunk, to the lengths."""
        self.lengths += counts

    def select(self, rows: Tensor, sources: Tensor) -> None:
        """Continue with these rows, in this order, some of them perhaps several times.

        rows: (N,) indices of rows.
        sources: (M,) indices of the encoder's outputs; each belongs to N / M rows in succession.
        """
        if not _is_every(rows, len(self.lengths)):
            filled = int(self.lengths.max())
            self.lengths = self.lengths[rows.cpu()]
            chosen = rows.to(self.device)
            for attention, (k, v) in self._slots.items():
                self._slots[attention] = _rows(k, chosen, filled), _rows(v, chosen, filled)
        if self.memory and not _is_every(sources, len(next(iter(self.memory.values()))[0])):
            chosen = sources.to(self.device)
            for attention, (k, v) in self.memory.items():
                self.memory[attention] = k[chosen], v[chosen]
            if "attn_mask" in self.memory_mask:
                self.memory_mask = {"attn_mask": self.memory_mask["attn_mask"][chosen]}

    def clear(self) -> None:
        """Remove all tokens and the encoder's output; the space for tokens stays allocated."""
        self.lengths.zero_()
        self.memory, self.memory_mask = {}, {}


def _is_every(indices: Tensor, count: int) -> bool:
    """Whether the indices are those of all `count` rows, in their order."""
    return torch.equal(indices, torch.arange(count, device=indices.device))


def _rows(slots: Tensor, chosen: Tensor, filled: int) -> Tensor:
    """The `chosen` rows of slots (B, n_kv_head, S, d_head), each with its first `filled` slots."""
    found = slots.new_empty(len(chosen), *slots.shape[1:])
    torch.index_select(slots[:, :, :filled], 0, chosen, out=found[:, :, :filled])
    return found


def _looking_back(pattern: AttentionPattern, length: int) -> Tensor | None:
    """The mask of a causal pattern, (H, length, length); None if each token sees all before it.

    Raises:
        ValueError: the pattern is not causal, needs a padding mask, or shows a token other tokens
            in a shorter sequence.
    """
    name = type(pattern).__name__
    try:
        mask = _mask(pattern, length)
        # Two lengths stand for all.
        shorter = [_mask(pattern, each) for each in {length // 2, length - 1} - {0}]
    except ValueError as error:
        raise ValueError(f"a KV cache cannot serve the pattern {name}: {error}") from None
    visible = mask if mask.dtype == torch.bool else mask > float("-inf")
    future = torch.ones_like(visible).triu(1)
    if (visible & future).any():
        raise ValueError(f"only a causal pattern can generate: {name} also sees later tokens")
    if not all(torch.equal(each, mask[:, : each.shape[1], : each.shape[1]]) for each in shorter):
        raise ValueError(
            f"a KV cache cannot serve the pattern {name}: what a token sees depends on the length"
        )
    return None if torch.equal(mask, ~future) else mask


def _mask(pattern: AttentionPattern, length: int) -> Tensor:
    """What tokens see without padding, (H, length, length)."""
    arguments = pattern(length, None)
    if arguments.get("is_causal"):
        return torch.ones(1, length, length, dtype=torch.bool).tril()
    mask = arguments.get("attn_mask")
    if mask is None:
        return torch.ones(1, length, length, dtype=torch.bool)
    return mask.reshape(-1, length, length)
