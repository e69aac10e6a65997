"""torchvision's VisionTransformer (vit_b_16 and its kin), as an object; torchvision itself is not
needed."""

from typing import Any

from torch import nn

from transformer.embeddings import PatchEmbedding
from transformer.heads import ClassificationHead, ClassToken
from transformer.layers import MLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions
from transformer.weights import components
from transformer.weights.links import Link, load
from transformer.weights.resizing import grid, pair, resize


def from_torchvision(model: Any, image_size: int | tuple[int, int] | None = None) -> Transformer:
    """A copy of torchvision's `model` as a Transformer, in evaluation mode.

    image_size: where it is to take other images than it was trained on; the positions are
        interpolated as by torchvision's `interpolate_embeddings`.

    Raises:
        ValueError: the model has a part that ours has no component for; it is named.
    """
    where = "conv_proj"
    components.require(isinstance(model.conv_proj, nn.Conv2d), where, "a convolutional stem")
    patches, positions = model.conv_proj, model.encoder.pos_embedding
    components.require(patches.stride == patches.kernel_size, where, "overlapping patches")
    trained = pair(model.image_size, "image_size")
    size = trained if image_size is None else pair(image_size, "image_size")
    old, new = grid(trained, patches.kernel_size), grid(size, patches.kernel_size)
    d_model = model.hidden_dim
    embedding = PatchEmbedding(
        size,
        patches.in_channels,
        patches.kernel_size,
        d_model,
        class_token=True,
        positions=LearnedPositions(1 + new[0] * new[1], d_model),
        norm=nn.Identity(),
        dropout=model.encoder.dropout.p,
        bias=patches.bias is not None,
    )
    blocks = [_block(layer, f"encoder.layers.{name}")
              for name, layer in model.encoder.layers.named_children()]
    ours = Transformer(
        embedding,
        blocks,
        components.norm(model.encoder.ln, "encoder.ln"),
        _head(model),
        Bidirectional(),
    )
    tensors = components.renamed(model.state_dict())
    name = "encoder.pos_embedding"
    tensors[name] = resize(positions.detach(), 1, old, new, align_corners=True)
    load(ours, tensors, _links(len(blocks)))
    return ours.eval()


def _block(layer: Any, where: str) -> PreNormBlock:
    up, activation, inner, down, outer = layer.mlp
    return PreNormBlock(
        components.self_attention(layer.self_attention, f"{where}.self_attention"),
        MLP(
            up.in_features,
            up.out_features,
            components.activation(activation, f"{where}.mlp", inner.p),
            bias=down.bias is not None,
        ),
        components.norm(layer.ln_1, f"{where}.ln_1"),
        components.norm(layer.ln_2, f"{where}.ln_2"),
        outer.p,
    )


def _head(model: Any) -> ClassificationHead:
    """With `representation_size`, a hidden layer stands before the classifier."""
    classifier = model.heads.head
    transform = None
    if hasattr(model.heads, "pre_logits"):
        hidden = model.heads.pre_logits
        transform = nn.Sequential(nn.Linear(hidden.in_features, hidden.out_features), nn.Tanh())
    return ClassificationHead(
        model.hidden_dim,
        classifier.out_features,
        ClassToken(),
        transform,
        classifier.in_features,
    )


def _links(n_layer: int) -> list[Link]:
    links = [
        Link("embedding.patches", "conv_proj"),
        Link("embedding.class_token", "class_token"),
        Link("embedding.positions.weight", "encoder.pos_embedding", leading=1),
        Link("norm", "encoder.ln"),
        Link("head.transform.0", "heads.pre_logits"),
        Link("head.classifier", "heads.head"),
    ]
    for i in range(n_layer):
        ours, theirs = f"blocks.{i}", f"encoder.layers.encoder_layer_{i}"
        links += [
            Link(f"{ours}.attention_norm", f"{theirs}.ln_1"),
            *components.self_attention_links(f"{ours}.attention", f"{theirs}.self_attention"),
            Link(f"{ours}.mlp_norm", f"{theirs}.ln_2"),
            Link(f"{ours}.mlp.up", f"{theirs}.mlp.0"),
            Link(f"{ours}.mlp.down", f"{theirs}.mlp.3"),
        ]
    return links
