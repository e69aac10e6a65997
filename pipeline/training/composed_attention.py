"""Attention as products of matrices and a softmax, in place of torch's fused kernel on the CPU."""

from typing import Any

import torch
from torch import Tensor

from pipeline.training.kernels import Kernel, torch_kernel

FUSED = "_scaled_dot_product_flash_attention_for_cpu"
# The weights are kept for the backward pass, with at most so many keys for each feature of a head:
# then they take no more memory than the hidden layer of a block's MLP. Longer ones are computed
# twice.
KEPT = 4


def kernels(longest: float = float("inf")) -> dict[str, Kernel]:
    """Its kernels of the forward and the backward pass.

    They take as many heads of queries as of keys, in float32, and at most `longest` keys; torch's
    fused kernel takes all else.
    """

    def composed(own: Kernel, name: str, first: int) -> Kernel:
        """first: which argument has the queries, before the keys."""
        fused = torch_kernel(name)

        def kernel(*args: Any, **kwargs: Any) -> Any:
            q, k = args[first : first + 2]
            taken = q.shape[1] == k.shape[1] and k.shape[2] <= longest and q.dtype == torch.float32
            with torch.autocast("cpu", enabled=False):  # the precision is that of the inputs
                return (own if taken else fused)(*args, **kwargs)

        return kernel

    backward = f"{FUSED}_backward"
    return {FUSED: composed(attention, FUSED, 0), backward: composed(d_attention, backward, 1)}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """In place of the fused kernel, with its layout: attention, and a tensor that the backward pass
    gets, too. Its memory has the weights in front of it, if they are kept.

    q: (B, n_head, T, d_head); k, v: (B, n_head, S, d_head). attn_mask: added to the scores,
    broadcast to (B, n_head, T, S). Torch does not take the fused kernel for dropout.
    """
    (B, H, T, d), S = q.shape, k.shape[2]
    q_heads, k_heads, v_heads = (each.flatten(0, 1) for each in (q, k, v))
    size = B * H * T * S if KEPT * d >= S else 0
    memory = q.new_empty(size + B * T * H)
    place = memory[:size].view(B * H, T, S) if size else None
    weights = _weights(q_heads, k_heads, (B, H), is_causal, attn_mask, scale, place)
    out = (weights @ v_heads).unflatten(0, (B, H))
    if not q.is_contiguous():
        out = torch.empty_like(q).copy_(out)  # compiled code relies on the layout
    return out, memory[size:].view(B, T, H).transpose(1, 2)


def d_attention(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    kept: Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `attention`, shaped like `q`, `k` and `v`.

    kept: the second output of `attention`.
    """
    (B, H, T, d), S = q.shape, k.shape[2]
    # (B * n_head, T, d_head) and (B * n_head, S, d_head)
    d_out, q, k, v = (each.flatten(0, 1) for each in (d_out, q, k, v))
    # (B * n_head, T, S), like the next two
    if kept.storage_offset() == B * H * T * S:
        weights = kept.as_strided((B * H, T, S), (T * S, S, 1), 0)
    else:
        weights = _weights(q, k, (B, H), is_causal, attn_mask, scale)
    d_weights = d_out @ v.mT
    d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    d_scores *= d**-0.5 if scale is None else scale
    gradients = d_scores @ k, d_scores.mT @ q, weights.mT @ d_out
    d_q, d_k, d_v = (_like_fused(each, (B, H)) for each in gradients)
    return d_q, d_k, d_v


def _weights(
    q: Tensor,
    k: Tensor,
    heads: tuple[int, int],
    is_causal: bool,
    attn_mask: Tensor | None,
    scale: float | None,
    place: Tensor | None = None,
) -> Tensor:
    """The weights of attention: (B * n_head, T, S), zeros where all of a row is masked.

    q: (B * n_head, T, d_head); k: (B * n_head, S, d_head). heads: B, n_head. place: where to write
    them, or new memory.
    """
    (_, T, d), S = q.shape, k.shape[1]
    mask, beta = q.new_empty(()), 1  # beta: whether to add the mask
    if is_causal:
        mask = q.new_full((T, S), -torch.inf).triu(1)
    elif attn_mask is not None:
        mask = attn_mask.expand(*heads, T, S).flatten(0, 1)
    else:
        beta = 0
    scale = d**-0.5 if scale is None else scale
    scores = torch.baddbmm(mask, q, k.mT, beta=beta, alpha=scale)
    weights = torch.softmax(scores, -1, out=place)
    if attn_mask is not None:
        empty = (attn_mask == -torch.inf).all(-1, keepdim=True)
        if empty.any():
            weights.masked_fill_(empty.expand(*heads, T, 1).flatten(0, 1), 0.0)
    return weights


def _like_fused(x: Tensor, heads: tuple[int, int]) -> Tensor:
    """(B * n_head, T, d_head) to (B, n_head, T, d_head), in memory as (B, T, n_head, d_head)."""
    return x.unflatten(0, heads).transpose(1, 2).contiguous().transpose(1, 2)
