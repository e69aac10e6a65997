"""Attention patterns: which tokens may attend to which.

A pattern turns padding masks into arguments of `scaled_dot_product_attention`, once in a forward
pass. All blocks get the result in `BlockInputs`, so that a block needs no mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypedDict

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformer.cache import KeyValueCache


class MaskArguments(TypedDict, total=False):
    """An attention mask, as arguments of `scaled_dot_product_attention`; without arguments, every
    query sees every key.

    attn_mask: broadcasts to (B, n_head, T, S); bool, True where a query sees a key, or numbers that
        are added to the scores.
    is_causal: True if query i sees the keys 0 .. i.
    """

    attn_mask: Tensor
    is_causal: bool


@dataclass(frozen=True)
class BlockInputs:
    """The inputs that all blocks of one forward pass share.

    mask: the mask of self-attention.
    position_ids: (T,) or (B, T), for rotary positions; None counts from zero.
    cache: the KV cache, in generation.
    memory: (B, S, d_model) output of the encoder, for cross-attention; None if `cache` has it.
    memory_mask: the mask of cross-attention.
    """

    mask: MaskArguments = field(default_factory=MaskArguments)
    position_ids: Tensor | None = None
    cache: KeyValueCache | None = None
    memory: Tensor | None = None
    memory_mask: MaskArguments = field(default_factory=MaskArguments)


class AttentionPattern(Protocol):
    """Which tokens may attend to which.

    A KV cache asks the pattern too: see `KeyValueCache.positions_and_mask`.
    """

    def __call__(self, length: int, attention_mask: Tensor | None) -> MaskArguments:
        """The mask for sequences of `length` tokens.

        attention_mask: (B, T) bool, True at real tokens and False at padding; None without
            padding.

        Raises:
            ValueError: a mask of another type.
        """


class Bidirectional:
    """Every token sees every real token: BERT, ViT, and cross-attention."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> MaskArguments:
        """See AttentionPattern."""
        return {} if attention_mask is None else {"attn_mask": _keys(attention_mask)}


class Causal:
    """A token sees itself and the real tokens before it: GPT."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> MaskArguments:
        """See AttentionPattern."""
        if attention_mask is None:
            return {"is_causal": True}
        square = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device)
        visible = square.tril() & _keys(attention_mask)  # (B, 1, T, T)
        return {"attn_mask": visible | _diagonal(length, square.device)}


class Packed:
    """Several documents in one row, none of which sees another: a block-diagonal mask.

    causal: whether a token sees only earlier tokens of its document, and itself.

    attention_mask is here (B, T) integers: the number of each token's document, 0 for padding.
    Pass their `packed_position_ids` as `position_ids`.
    """

    def __init__(self, causal: bool):
        self.causal = causal

    def __call__(self, length: int, attention_mask: Tensor | None) -> MaskArguments:
        """See AttentionPattern."""
        if attention_mask is None or attention_mask.dtype == torch.bool:
            raise ValueError(
                "a packed batch needs attention_mask: the number of each token's "
                "document as integers, 0 for padding"
            )
        # (B, 1, T, 1) against (B, 1, 1, T): (B, 1, T, T)
        same = attention_mask[:, None, :, None] == attention_mask[:, None, None, :]
        visible = same & (attention_mask > 0)[:, None, None, :]
        visible = visible.tril() if self.causal else visible
        return {"attn_mask": visible | _diagonal(length, visible.device)}


def packed_position_ids(documents: Tensor) -> Tensor:
    """Positions that count from zero in each document.

    documents: (B, T) integers, equal within a document and different in adjacent documents.
    Returns (B, T).
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - (places * begins).cummax(dim=1).values


def _keys(attention_mask: Tensor) -> Tensor:
    """Visible keys, from (B, T) to (B, 1, 1, T): for all heads and queries.

    Raises:
        ValueError: the mask is not bool; the kernel would add numbers to the attention scores.
    """
    if attention_mask.dtype != torch.bool:
        raise ValueError(
            "attention_mask must be bool, True at real tokens and False at padding, "
            f"not {attention_mask.dtype}: pass attention_mask.bool()"
        )
    return attention_mask[:, None, None, :]


def _diagonal(length: int, device: torch.device) -> Tensor:
    """(length, length) bool, True where a token sees itself.

    A padding token may see nothing else, and a softmax over nothing is NaN.
    """
    return torch.eye(length, dtype=torch.bool, device=device)
