"""Imports torch's nn.TransformerEncoder, nn.TransformerDecoder and nn.Transformer.

Input and output are vectors, so the embedding and the head do nothing. The batch is always the
first dimension in ours.
"""

from typing import Any

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
from transformer.weights.links import Link, freeze, in_blocks, load

LAYERS = {
    nn.TransformerEncoder: nn.TransformerEncoderLayer,
    nn.TransformerDecoder: nn.TransformerDecoderLayer,
}
ENCODER_BLOCK = (
    *components.self_attention_links("attention", "self_attn"),
    Link("attention_norm", "norm1"),
    Link("mlp.up", "linear1"),
    Link("mlp.down", "linear2"),
    Link("mlp_norm", "norm2"),
)
DECODER_BLOCK = (
    *ENCODER_BLOCK[:-1],
    Link("cross_attention.q", "multihead_attn.q"),
    Link("cross_attention.kv", "multihead_attn.kv"),
    Link("cross_attention.out", "multihead_attn.out_proj"),
    Link("cross_attention_norm", "norm2"),
    Link("mlp_norm", "norm3"),
)
BLOCKS = {nn.TransformerEncoder: ENCODER_BLOCK, nn.TransformerDecoder: DECODER_BLOCK}


def from_torch(
    model: nn.TransformerEncoder | nn.TransformerDecoder | nn.Transformer,
    pattern: AttentionPattern | None = None,
) -> Transformer:
    """A copy of `model` as a Transformer, in evaluation mode; frozen parameters stay frozen.

    The `memory` of torch's decoder is the `source` of ours. With `nn.GELU("tanh")`, torch's
    encoder computes the exact GELU in its fast path; ours never does.

    pattern: the attention pattern of an encoder, or of a decoder; torch takes it as a mask in
        every call. Bidirectional by default.

    Raises:
        ValueError: the model has a part that is not supported; the message names it.
    """
    if type(model) not in (nn.Transformer, *LAYERS):
        raise ValueError(
            f"expected nn.Transformer, nn.TransformerEncoder or nn.TransformerDecoder, not "
            f"{type(model).__name__}"
        )
    components.unmodified(model)
    components.without_gradient_hooks(model)
    pattern = pattern or Bidirectional()
    if type(model) is nn.Transformer:
        components.exactly(model.encoder, nn.TransformerEncoder, "encoder")
        components.exactly(model.decoder, nn.TransformerDecoder, "decoder")
        encoder = _stack(model.encoder, Bidirectional(), "encoder.")
        ours = _stack(model.decoder, pattern, "decoder.", encoder)
        links = [
            *_links(model.encoder, "encoder.", "encoder."),
            *_links(model.decoder, "", "decoder."),
        ]
    elif type(model) is nn.TransformerDecoder:
        nothing = Transformer(Vectors(), [], nn.Identity(), HiddenStates(), Bidirectional())
        ours, links = _stack(model, pattern, "", nothing), _links(model, "", "")
    else:
        ours, links = _stack(model, pattern, ""), _links(model, "", "")
    load(ours, _tensors(model), links)
    freeze(ours, {part for name in components.frozen(model) for part in _parts(name)}, links)
    return ours.eval()


def _stack(
    model: Any, pattern: AttentionPattern, where: str, encoder: Transformer | None = None
) -> Transformer:
    kind = LAYERS[type(model)]
    components.exactly(model.layers, nn.ModuleList, f"{where}layers")
    blocks = []
    for i, layer in enumerate(model.layers):
        components.exactly(layer, kind, f"{where}layers.{i}")
        blocks.append(_block(layer, f"{where}layers.{i}"))
    norm = components.norm(model.norm, f"{where}norm")
    return Transformer(Vectors(), blocks, norm, HiddenStates(), pattern, encoder)


def _block(layer: Any, where: str) -> Block:
    attention = components.self_attention(layer.self_attn, f"{where}.self_attn")
    up = components.linear(layer.linear1, f"{where}.linear1")
    down = components.linear(layer.linear2, f"{where}.linear2")
    bias = down.bias is not None
    inner = components.dropout(layer.dropout, f"{where}.dropout")
    activation = components.activation(layer.activation, f"{where}.activation", inner)
    mlp = MLP(up.in_features, up.out_features, activation, bias)
    norms = [
        components.norm(getattr(layer, name), f"{where}.{name}")
        for name in ("norm1", "norm2", "norm3")
        if hasattr(layer, name)
    ]
    branches = ("dropout1", "dropout2", "dropout3")[: len(norms)]
    dropout = components.residual_dropout(layer, branches, where)
    if isinstance(layer, nn.TransformerDecoderLayer):
        theirs = layer.multihead_attn
        components.plain(theirs, f"{where}.multihead_attn")
        crossing = CrossAttention(theirs.embed_dim, theirs.num_heads, theirs.dropout, bias)
        decoder_block = PreNormDecoderBlock if layer.norm_first else PostNormDecoderBlock
        return decoder_block(attention, crossing, mlp, norms[0], norms[1], norms[2], dropout)
    block = PreNormBlock if layer.norm_first else PostNormBlock
    return block(attention, mlp, norms[0], norms[1], dropout)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Their tensors, with the projections of cross-attention split as in ours."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in components.tensors(model).items():
        third, parts = len(tensor) // 3, _parts(name)
        split = tensor.split([third, 2 * third]) if len(parts) == 2 else [tensor]
        tensors |= zip(parts, split, strict=True)
    return tensors


def _parts(name: str) -> tuple[str, ...]:
    """Our names of the tensor `name`."""
    if "multihead_attn.in_proj." in name:
        return name.replace("in_proj", "q"), name.replace("in_proj", "kv")
    return (name,)


def _links(model: Any, ours: str, theirs: str) -> list[Link]:
    block = BLOCKS[type(model)]
    layers = in_blocks(block, f"{theirs}layers.", len(model.layers), f"{ours}blocks.")
    return [Link(f"{ours}norm", f"{theirs}norm"), *layers]
