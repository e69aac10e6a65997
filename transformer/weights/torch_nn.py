"""torch's own nn.TransformerEncoder, nn.TransformerDecoder and nn.Transformer.

They take vectors and give vectors, so that ours has an embedding and a head that do nothing. Ours
has the batch first, whatever theirs has.
"""

from torch import Tensor, nn

from transformer.attention import CrossAttention
from transformer.embeddings import Vectors
from transformer.heads import HiddenStates
from transformer.layers import (
    MLP,
    Block,
    PostNormBlock,
    PostNormDecoderBlock,
    PreNormBlock,
    PreNormDecoderBlock,
)
from transformer.model import Transformer
from transformer.patterns import AttentionPattern, Bidirectional
from transformer.weights import components
from transformer.weights.links import Link, load


def from_torch(
    model: nn.TransformerEncoder | nn.TransformerDecoder | nn.Transformer,
    pattern: AttentionPattern | None = None,
) -> Transformer:
    """A copy of `model` as a Transformer, in evaluation mode.

    A decoder's `memory` is ours' `source`.

    pattern: who may look at whom in an encoder, or in a decoder; torch's own take that as a mask
        in every call. Bidirectional by default.

    Raises:
        ValueError: the model has a part that ours has no component for; it is named.
    """
    pattern = pattern or Bidirectional()
    if isinstance(model, nn.Transformer):
        encoder = _stack(model.encoder, Bidirectional(), "encoder.")
        ours = _stack(model.decoder, pattern, "decoder.", encoder)
        links = _links(model.encoder, "encoder.", "encoder.")
        links += _links(model.decoder, "", "decoder.")
    elif isinstance(model, nn.TransformerDecoder):
        nothing = Transformer(Vectors(), [], nn.Identity(), HiddenStates(), Bidirectional())
        ours, links = _stack(model, pattern, "", nothing), _links(model, "", "")
    elif isinstance(model, nn.TransformerEncoder):
        ours, links = _stack(model, pattern, ""), _links(model, "", "")
    else:
        raise ValueError(f"{type(model).__name__} is not one of torch's three transformers")
    load(ours, _tensors(model), links)
    return ours.eval()


def _stack(
    model: nn.Module, pattern: AttentionPattern, where: str, encoder: Transformer | None = None
) -> Transformer:
    blocks = [_block(layer, f"{where}layers.{i}") for i, layer in enumerate(model.layers)]
    norm = components.norm(model.norm, f"{where}norm")
    return Transformer(Vectors(), blocks, norm, HiddenStates(), pattern, encoder)


def _block(layer: nn.Module, where: str) -> Block:
    attention = components.self_attention(layer.self_attn, f"{where}.self_attn")
    bias = layer.linear1.bias is not None
    activation = components.activation(layer.activation, f"{where}.activation", layer.dropout.p)
    mlp = MLP(layer.linear1.in_features, layer.linear1.out_features, activation, bias)
    norms = [
        components.norm(getattr(layer, name), f"{where}.{name}")
        for name in ("norm1", "norm2", "norm3")
        if hasattr(layer, name)
    ]
    dropout = layer.dropout1.p
    if isinstance(layer, nn.TransformerDecoderLayer):
        theirs = layer.multihead_attn
        components.plain(theirs, f"{where}.multihead_attn")
        crossing = CrossAttention(theirs.embed_dim, theirs.num_heads, theirs.dropout, bias)
        kind = PreNormDecoderBlock if layer.norm_first else PostNormDecoderBlock
        return kind(attention, crossing, mlp, *norms, dropout)
    kind = PreNormBlock if layer.norm_first else PostNormBlock
    return kind(attention, mlp, *norms, dropout)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Their tensors, the projections of cross-attention split as ours are."""
    tensors = {}
    for name, tensor in components.renamed(model.state_dict()).items():
        if "multihead_attn.in_proj." in name:
            q, kv = tensor.split([len(tensor) // 3, len(tensor) // 3 * 2])
            tensors[name.replace("in_proj", "q")] = q
            tensors[name.replace("in_proj", "kv")] = kv
        else:
            tensors[name] = tensor
    return tensors


def _links(model: nn.Module, ours_prefix: str, theirs_prefix: str) -> list[Link]:
    links = [Link(f"{ours_prefix}norm", f"{theirs_prefix}norm")]
    for i, layer in enumerate(model.layers):
        ours, theirs = f"{ours_prefix}blocks.{i}", f"{theirs_prefix}layers.{i}"
        crossing = isinstance(layer, nn.TransformerDecoderLayer)
        links += [
            *components.self_attention_links(f"{ours}.attention", f"{theirs}.self_attn"),
            Link(f"{ours}.attention_norm", f"{theirs}.norm1"),
            Link(f"{ours}.cross_attention.q", f"{theirs}.multihead_attn.q"),
            Link(f"{ours}.cross_attention.kv", f"{theirs}.multihead_attn.kv"),
            Link(f"{ours}.cross_attention.out", f"{theirs}.multihead_attn.out_proj"),
            Link(f"{ours}.cross_attention_norm", f"{theirs}.norm2"),
            Link(f"{ours}.mlp.up", f"{theirs}.linear1"),
            Link(f"{ours}.mlp.down", f"{theirs}.linear2"),
            Link(f"{ours}.mlp_norm", f"{theirs}.norm{3 if crossing else 2}"),
        ]
    return links
