"""Ours for the components that other libraries build their models of, or an error that names them.

where: the path of the component in their model, for messages.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from transformer.attention import SelfAttention
from transformer.weights.links import Link


def refuse(where: str, what: str) -> ValueError:
    """The error about something that ours has no component for."""
    return ValueError(f"{where}: {what} is not supported")


def require(ok: bool, where: str, what: str) -> None:
    """Raises:
    ValueError: not `ok`: `what` is not supported.
    """
    if not ok:
        raise refuse(where, what)


def norm(theirs: nn.Module | None, where: str) -> nn.Module:
    """LayerNorm or RMSNorm of the same width and eps, with or without a bias; or none."""
    if theirs is None or isinstance(theirs, nn.Identity):
        return nn.Identity()
    affine = getattr(theirs, "weight", None) is not None
    if isinstance(theirs, nn.LayerNorm):
        bias = theirs.bias is not None
        return nn.LayerNorm(theirs.normalized_shape, theirs.eps, affine, bias)
    if isinstance(theirs, nn.RMSNorm) or type(theirs).__name__ == "RmsNorm":  # timm's own
        return nn.RMSNorm(tuple(theirs.normalized_shape), theirs.eps, affine)
    raise refuse(where, f"the norm {type(theirs).__name__}")


def activation(theirs: nn.Module, where: str, dropout: float = 0.0) -> nn.Module:
    """The same activation, followed by the dropout that some have inside of their MLP."""
    if isinstance(theirs, nn.GELU):
        ours: nn.Module = nn.GELU(theirs.approximate)
    elif isinstance(theirs, nn.ReLU) or theirs is F.relu:
        ours = nn.ReLU()
    elif theirs is F.gelu:
        ours = nn.GELU()
    elif isinstance(theirs, nn.SiLU):
        ours = nn.SiLU()
    else:
        name = getattr(theirs, "__name__", type(theirs).__name__)
        raise refuse(where, f"the activation {name}")
    return nn.Sequential(ours, nn.Dropout(dropout)) if dropout else ours


def plain(theirs: nn.MultiheadAttention, where: str) -> None:
    """Require an attention of torch's without its rarer options."""
    require(theirs._qkv_same_embed_dim, where, "kdim or vdim other than the width")
    require(theirs.bias_k is None, where, "add_bias_kv")
    require(not theirs.add_zero_attn, where, "add_zero_attn")


def self_attention(theirs: nn.MultiheadAttention, where: str) -> SelfAttention:
    """Ours for torch's own module."""
    plain(theirs, where)
    bias = theirs.in_proj_bias is not None
    return SelfAttention(
        theirs.embed_dim, theirs.num_heads, theirs.dropout, bias=bias, out_bias=bias
    )


def self_attention_links(ours: str, theirs: str) -> list[Link]:
    """Where torch's own module keeps its parameters, after `renamed`."""
    return [Link(f"{ours}.qkv", f"{theirs}.in_proj"), Link(f"{ours}.out", f"{theirs}.out_proj")]


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """torch's in_proj_weight and in_proj_bias under names as all other modules have them."""
    return {name.replace("in_proj_", "in_proj."): tensor for name, tensor in tensors.items()}
