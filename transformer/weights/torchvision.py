"""Imports torchvision's VisionTransformer (vit_b_16 and similar) from an object, without importing
torchvision."""

from typing import Any

from torch import nn

from transformer.embeddings import PatchEmbedding
from transformer.heads import ClassificationHead, ClassToken
from transformer.layers import MLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions
from transformer.stems import PatchProjection
from transformer.weights import components
from transformer.weights.links import Link, freeze, in_blocks, load
from transformer.weights.resizing import pair, resize, sizes

MODELS = "torchvision.models.vision_transformer"
POSITIONS = "encoder.pos_embedding"
LAYERS = "encoder.layers.encoder_layer_"
LINKS = (
    Link("embedding.patches", "conv_proj"),
    Link("embedding.class_token", "class_token"),
    Link("embedding.positions.weight", POSITIONS, leading=1),
    Link("norm", "encoder.ln"),
    Link("head.transform.0", "heads.pre_logits"),
)
BLOCK = (
    Link("attention_norm", "ln_1"),
    *components.self_attention_links("attention", "self_attention"),
    Link("mlp_norm", "ln_2"),
    Link("mlp.up", "mlp.0"),
    Link("mlp.down", "mlp.3"),
)


def from_torchvision(model: Any, image_size: int | tuple[int, int] | None = None) -> Transformer:
    """A copy of torchvision's `model` as a Transformer, in evaluation mode; frozen parameters stay
    frozen.

    image_size: if the images have another size than in training; interpolates positions as
        torchvision's `interpolate_embeddings` does.

    Raises:
        ValueError: the class or a part of the model is not supported; the message names it.
    """
    components.require_class(model, f"{MODELS}.VisionTransformer")
    components.unmodified(model)
    components.without_gradient_hooks(model)
    stem = type(model.conv_proj) is nn.Sequential
    components.require(not stem, "conv_proj", "a convolutional stem")
    patches = components.patches(model.conv_proj, "conv_proj")
    components.named(model.encoder, "encoder", f"{MODELS}.Encoder")
    components.exactly(model.encoder.layers, nn.Sequential, "encoder.layers")
    trained = pair(model.image_size, "image_size")
    patch = pair(patches.kernel_size, "conv_proj")
    size, old, new = sizes(trained, patch, image_size)
    d_model = model.hidden_dim
    embedding = PatchEmbedding(
        size,
        PatchProjection(patches.in_channels, patch, d_model, patches.bias is not None),
        class_token=True,
        positions=LearnedPositions(1 + new[0] * new[1], d_model),
        norm=nn.Identity(),
        dropout=components.dropout(model.encoder.dropout, "encoder.dropout"),
    )
    blocks = [_block(layer, f"{LAYERS}{i}") for i, layer in enumerate(model.encoder.layers)]
    ours = Transformer(
        embedding,
        blocks,
        components.norm(model.encoder.ln, "encoder.ln"),
        _head(model),
        Bidirectional(),
    )
    tensors = components.tensors(model)
    tensors[POSITIONS] = resize(tensors[POSITIONS], 1, old, new, align_corners=True)
    head = Link("head.classifier", "heads" if isinstance(model.heads, nn.Linear) else "heads.head")
    links = [*LINKS, *in_blocks(BLOCK, LAYERS, len(blocks)), head]
    load(ours, tensors, links)
    freeze(ours, components.frozen(model), links)
    return ours.eval()


def _block(layer: Any, where: str) -> PreNormBlock:
    components.named(layer, where, f"{MODELS}.EncoderBlock")
    mlp = f"{where}.mlp"
    components.named(layer.mlp, mlp, f"{MODELS}.MLPBlock")
    components.require(len(layer.mlp) == 5, mlp, f"an MLP of {len(layer.mlp)} modules (not 5)")
    up = components.linear(layer.mlp[0], f"{mlp}.0")
    inner = components.dropout(layer.mlp[2], f"{mlp}.2")
    down = components.linear(layer.mlp[3], f"{mlp}.3")
    return PreNormBlock(
        components.self_attention(layer.self_attention, f"{where}.self_attention"),
        MLP(
            up.in_features,
            up.out_features,
            components.activation(layer.mlp[1], mlp, inner),
            bias=down.bias is not None,
        ),
        components.norm(layer.ln_1, f"{where}.ln_1"),
        components.norm(layer.ln_2, f"{where}.ln_2"),
        components.residual_dropout(layer, ("dropout", "mlp.4"), where),
    )


def _head(model: Any) -> nn.Module:
    """A classifier, with a hidden layer for `representation_size`; or only the class token, if
    Identity replaces the classifier."""
    heads, where, pooling = model.heads, "heads", ClassToken()
    whole = type(heads) is nn.Sequential
    names = [name for name, _ in heads.named_children()] if whole else []
    if names == ["pre_logits", "act", "head"]:
        hidden, classifier = heads.pre_logits, components.classifier(heads.head, "heads.head")
        components.linear(hidden, "heads.pre_logits")
        components.exactly(heads.act, nn.Tanh, "heads.act")
        return ClassificationHead(
            model.hidden_dim,
            classifier.out_features,
            pooling,
            nn.Sequential(nn.Linear(hidden.in_features, hidden.out_features), nn.Tanh()),
            classifier.in_features,
        )
    if names == ["head"]:
        heads, where = heads.head, "heads.head"
    if components.is_nothing(heads):
        return pooling
    classes = components.classifier(heads, where).out_features
    return ClassificationHead(model.hidden_dim, classes, pooling)
