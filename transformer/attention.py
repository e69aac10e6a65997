"""Multi-head self-attention through the fused kernel, and who may look at whom.

A pattern turns a padding mask into arguments of `scaled_dot_product_attention`. It is built
once a forward pass and handed to every block, so that the block has no mode of its own.
"""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionPattern(Protocol):
    """Who may look at whom."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        """Arguments of `scaled_dot_product_attention` for sequences of `length`.

        attention_mask: (B, T) bool, True at real tokens and False at padding; None if none is
            padded.
        """


class Bidirectional:
    """Every token sees every real token: BERT and ViT."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        return {} if attention_mask is None else {"attn_mask": attention_mask[:, None, None, :]}


class Causal:
    """A token sees itself and the real tokens before it: GPT."""

    def __call__(self, length: int, attention_mask: Tensor | None) -> dict[str, Any]:
        if attention_mask is None:
            return {"is_causal": True}
        square = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device)
        visible = square.tril() & attention_mask[:, None, None, :]
        # A padded token before the first real one would see nothing, and a softmax over nothing
        # is NaN: let every token see itself.
        return {"attn_mask": visible | torch.eye(length, dtype=torch.bool, device=square.device)}


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2) with one fused QKV matrix.

    qk_norm: applied to queries and keys over the last dimension, (B, n_head, T, d_head).
    """

    def __init__(self, d_model: int, n_head: int, dropout: float, qk_norm: nn.Module):
        super().__init__()
        self.n_head = n_head
        self.dropout = dropout
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.qk_norm = qk_norm
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, pattern: dict[str, Any]) -> Tensor:
        """(B, T, d_model) to (B, T, d_model); pattern: see AttentionPattern."""
        B, T, _ = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind()  # each (B, n_head, T, d_head)
        q, k = self.qk_norm(q), self.qk_norm(k)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, **pattern)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))
