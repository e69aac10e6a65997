"""Multi-head attention with PyTorch's fused kernel. Attention masks are in `patterns.py`."""

import torch.nn.functional as F
from torch import Tensor, nn

from transformer.patterns import BlockInputs, MaskArguments
from transformer.positions import NoRotation
from transformer.selection import EVERY, Selection


class StackedLinear(nn.Linear):
    """Several matrices of equal size, stacked in one weight: `parts` is their number."""

    def __init__(self, in_features: int, out_features: int, parts: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self.parts = parts


class Attention(nn.Module):
    """softmax(q k' / sqrt(d_head)) v, in n_head heads (Vaswani et al. 2017, section 3.2).

    Subclasses define `out`, the projection back to the residual stream, as their last module.

    qk_norm: applied to queries and keys over the last dimension, (B, n_head, T, d_head).
    rotation: rotates queries and keys by their positions: Rotary, or none.
    scale: factor on the products, in place of 1 / sqrt(d_head).
    """

    out: nn.Linear

    def __init__(
        self,
        n_head: int,
        dropout: float,
        qk_norm: nn.Module | None = None,
        rotation: nn.Module | None = None,
        scale: float | None = None,
    ):
        super().__init__()
        self.n_head = n_head
        self.dropout = dropout
        self.qk_norm = qk_norm or nn.Identity()
        self.rotation = rotation or NoRotation()
        self.scale = scale

    def self_attention(
        self, q: Tensor, k: Tensor, v: Tensor, shared: BlockInputs, keep: Selection = EVERY
    ) -> Tensor:
        """Attention after the query-key norm and rotation, with the KV cache, and the projection.

        q: (B, n_head, T, d_head); k, v: (B, n_kv_head, T, d_head). Returns (B, T, d_model), or the
        vectors of the tokens to `keep`.
        """
        q, k = self.qk_norm(q), self.qk_norm(k)
        q, k = (self.rotation(each, shared.position_ids) for each in (q, k))
        if shared.cache is not None:
            k, v = shared.cache.extend(self, k, v)
        return self.out(keep(self.weighted_sums(q, k, v, shared.mask)))

    def weighted_sums(self, q: Tensor, k: Tensor, v: Tensor, mask: MaskArguments) -> Tensor:
        """The sums of the values, with a mask and before the projection.

        q: (B, n_head, T, d_head); k, v: (B, n_kv_head, S, d_head). Returns (B, T, n_head * d_head).
        """
        group = q.shape[1] // k.shape[1]  # query heads that share a head of keys and values
        if group > 1:
            # (B, n_kv_head, S, d_head) to (B, n_head, S, d_head)
            k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=self.scale, **mask)
        return y.transpose(1, 2).flatten(2)


class SelfAttention(Attention):
    """Self-attention with one fused QKV matrix.

    bias, out_bias: whether the QKV matrix and the output projection have a bias.
    """

    def __init__(
        self,
        d_model: int,
        n_head: int,
        dropout: float,
        qk_norm: nn.Module | None = None,
        rotation: nn.Module | None = None,
        bias: bool = True,
        out_bias: bool = True,
        scale: float | None = None,
    ):
        super().__init__(n_head, dropout, qk_norm, rotation, scale)
        self.qkv = StackedLinear(d_model, 3 * d_model, parts=3, bias=bias)
        self.out = nn.Linear(d_model, d_model, bias=out_bias)

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """(B, T, d_model) to (B, T, d_model), or to those of the tokens to `keep`."""
        # (B, T, 3 * d_model) to three of (B, n_head, T, d_head)
        q, k, v = (_heads(part, self.n_head) for part in self.qkv(x).chunk(3, dim=-1))
        return self.self_attention(q, k, v, shared, keep)


class GroupedQueryAttention(Attention):
    """Self-attention in which groups of query heads share keys and values (Ainslie et al. 2023,
    "GQA", section 2.2); with n_kv_head = 1 it is multi-query attention.

    d_head: width of a head; n_head * d_head may differ from d_model.
    Other arguments: see SelfAttention.
    """

    def __init__(
        self,
        d_model: int,
        n_head: int,
        n_kv_head: int,
        d_head: int,
        dropout: float,
        qk_norm: nn.Module | None = None,
        rotation: nn.Module | None = None,
        bias: bool = True,
        out_bias: bool = True,
    ):
        super().__init__(n_head, dropout, qk_norm, rotation)
        self.n_kv_head = n_kv_head
        self.q = nn.Linear(d_model, n_head * d_head, bias=bias)
        self.kv = StackedLinear(d_model, 2 * n_kv_head * d_head, parts=2, bias=bias)
        self.out = nn.Linear(n_head * d_head, d_model, bias=out_bias)

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """(B, T, d_model) to (B, T, d_model), or to those of the tokens to `keep`."""
        q = _heads(self.q(x), self.n_head)  # (B, n_head, T, d_head)
        # (B, T, 2 * n_kv_head * d_head) to two of (B, n_kv_head, T, d_head)
        k, v = (_heads(part, self.n_kv_head) for part in self.kv(x).chunk(2, dim=-1))
        return self.self_attention(q, k, v, shared, keep)


class CrossAttention(Attention):
    """Queries from the decoder, keys and values from the encoder's output (Vaswani et al. 2017,
    section 3.2.3).

    n_kv_head: heads of keys and values, as in GroupedQueryAttention; 0 means n_head.
    """

    def __init__(
        self,
        d_model: int,
        n_head: int,
        dropout: float,
        bias: bool = True,
        n_kv_head: int = 0,
        qk_norm: nn.Module | None = None,
    ):
        super().__init__(n_head, dropout, qk_norm)
        self.n_kv_head = n_kv_head or n_head
        self.q = nn.Linear(d_model, d_model, bias=bias)
        d_kv = self.n_kv_head * (d_model // n_head)
        self.kv = StackedLinear(d_model, 2 * d_kv, parts=2, bias=bias)
        self.out = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """As the others; attends to the memory (B, S, d_model).

        A KV cache keeps the memory's keys and values, so that they are computed once.
        """
        q = self.queries(x)
        if shared.memory is not None:
            k, v = self.keys_and_values(shared.memory)
            if shared.cache is not None:
                shared.cache.memory[self] = k, v
        else:
            assert shared.cache is not None  # it has what the memory was
            k, v = shared.cache.memory[self]
            # M rows that share a source attend together: (B * M, n_head, T, d_head) to
            # (B, n_head, M * T, d_head).
            q = q.unflatten(0, (len(k), -1)).transpose(1, 2).flatten(2, 3)
        y = self.weighted_sums(q, k, v, shared.memory_mask)
        return self.out(keep(y.reshape(*x.shape[:2], -1)))

    def queries(self, x: Tensor) -> Tensor:
        """(B, T, d_model) to (B, n_head, T, d_head)."""
        return self.qk_norm(_heads(self.q(x), self.n_head))

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, d_model) to two of (B, n_kv_head, S, d_head)."""
        k, v = (_heads(part, self.n_kv_head) for part in self.kv(memory).chunk(2, dim=-1))
        return self.qk_norm(k), v


def _heads(x: Tensor, count: int) -> Tensor:
    """(B, T, count * d_head) to (B, count, T, d_head)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)
