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
from transformer.weights.links import Link, in_blocks, load

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
    """A copy of `model` as a Transformer, in evaluation mode.

    What theirs calls the `memory` of a decoder is the `source` of ours. With `nn.GELU("tanh")`, an
    encoder of torch's computes the exact GELU where it may take its fast path; ours never does.

    pattern: who may look at whom in an encoder, or in a decoder; torch's own take that as a mask
        in every call. Bidirectional by default.

    Raises:
        ValueError: the model has a part that ours has no component for; it is named.
    """
    if type(model) not in (nn.Transformer, *LAYERS):
        raise ValueError(f"{type(model).__name__} is not one of torch's three transformers")
    components.unmodified(model)
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
    return ours.eval()


def _stack(
    model: nn.Module, pattern: AttentionPattern, where: str, encoder: Transformer | None = None
) -> Transformer:
    kind = LAYERS[type(model)]
    components.exactly(model.layers, nn.ModuleList, f"{where}layers")
    blocks = []
    for i, layer in enumerate(model.layers):
        components.exactly(layer, kind, f"{where}layers.{i}")
        blocks.append(_block(layer, f"{where}layers.{i}"))
    norm = components.norm(model.norm, f"{where}norm")
    return Transformer(Vectors(), blocks, norm, HiddenStates(), pattern, encoder)


def _block(layer: nn.Module, where: str) -> Block:
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
        kind = PreNormDecoderBlock if layer.norm_first else PostNormDecoderBlock
        return kind(attention, crossing, mlp, *norms, dropout)
    kind = PreNormBlock if layer.norm_first else PostNormBlock
    return kind(attention, mlp, *norms, dropout)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Their tensors, the projections of cross-attention split as ours are."""
    tensors = {}
    for name, tensor in components.tensors(model).items():
        if "multihead_attn.in_proj." in name:
            q, kv = tensor.split([len(tensor) // 3, len(tensor) // 3 * 2])
            tensors[name.replace("in_proj", "q")] = q
            tensors[name.replace("in_proj", "kv")] = kv
        else:
            tensors[name] = tensor
    return tensors


def _links(model: nn.Module, ours: str, theirs: str) -> list[Link]:
    block = BLOCKS[type(model)]
    layers = in_blocks(block, f"{theirs}layers.", len(model.layers), f"{ours}blocks.")
    return [Link(f"{ours}norm", f"{theirs}norm"), *layers]
