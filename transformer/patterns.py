"""Who may look at whom.

A pattern turns masks into arguments of `scaled_dot_product_attention`. It is asked once a forward
pass, and its answer is handed to every block within a `Context`, so that a block has no mode of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformer.cache import KeyValueCache


@dataclass(frozen=True)
class Context:
    """What all blocks of one forward pass share.

    visible: who may look at whom, as arguments of `scaled_dot_product_attention`.
    position_ids: (T,) or (B, T), for rotary positions; None counts from zero.
    cache: keys and values of earlier tokens, in generation.
    memory: (B, S, d_model) of the encoder, for cross-attention; memory_visible: who may look at
        which part of it, as `visible`.
    """

    visible: dict[str, Any] = field(default_factory=dict)
    position_ids: Tensor | None = None
    cache: KeyValueCache | None = None
    memory: Tensor | None = None
    memory_visible: dict[str, Any] = field(default_factory=dict)


class AttentionPattern(Protocol):
    """Who may look at whom."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        """Arguments of `scaled_dot_product_attention` for sequences of `length`.

        attention_mask: (B, T) bool, True at real tokens and False at padding; None if none is
            padded.

        Raises:
            ValueError: a mask of another kind.
        """


class Bidirectional:
    """Every token sees every real token: BERT and ViT, and an encoder's output in a decoder."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        return {} if attention_mask is None else {"attn_mask": _keys(attention_mask)}


class Causal:
    """A token sees itself and the real tokens before it: GPT."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        if attention_mask is None:
            return {"is_causal": True}
        square = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device)
        visible = square.tril() & _keys(attention_mask)
        return {"attn_mask": visible | _oneself(length, square.device)}


class Packed:
    """Several documents in a row, each blind to the others: a block-diagonal mask.

    causal: whether a token sees the later ones of its document.

    The mask that this pattern takes is (B, T) integers: the number of the document that a token
    belongs to, 0 for padding. Give `packed_position_ids` of them as `position_ids`.
    """

    def __init__(self, causal: bool):
        self.causal = causal

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        if attention_mask is None or attention_mask.dtype == torch.bool:
            raise ValueError("a packed batch needs attention_mask: the number of each token's "
                             "document as integers, 0 for padding")
        same = attention_mask[:, None, :, None] == attention_mask[:, None, None, :]
        visible = same & (attention_mask > 0)[:, None, None, :]
        visible = visible.tril() if self.causal else visible
        return {"attn_mask": visible | _oneself(length, visible.device)}


def packed_position_ids(documents: Tensor) -> Tensor:
    """Positions that count from zero in each document.

    documents: (B, T) integers, the same within a document and other than its neighbours'.
    Returns (B, T).
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - (places * begins).cummax(dim=1).values


def _keys(attention_mask: Tensor) -> Tensor:
    """(B, T) to (B, 1, 1, T), for all heads and queries.

    Raises:
        ValueError: numbers, which the kernel would add to its scores.
    """
    if attention_mask.dtype != torch.bool:
        raise ValueError("attention_mask has to be bool, True at real tokens and False at padding, "
                         f"not {attention_mask.dtype}: give attention_mask.bool()")
    return attention_mask[:, None, None, :]


def _oneself(length: int, device: torch.device) -> Tensor:
    """A padded token may see nothing else, and a softmax over nothing is NaN: let every token see
    itself."""
    return torch.eye(length, dtype=torch.bool, device=device)
