"""Imports timm's VisionTransformer (its models vit_*) from an object, without importing timm."""

from typing import Any

from torch import nn

from transformer.attention import SelfAttention
from transformer.embeddings import PatchEmbedding
from transformer.heads import ClassificationHead, ClassToken, HiddenStates, MeanPooling
from transformer.layers import MLP, LayerScale, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions, NoPositions
from transformer.stems import PatchProjection
from transformer.weights import components
from transformer.weights.components import is_nothing, linear, named, require
from transformer.weights.links import Link, freeze, in_blocks, load
from transformer.weights.resizing import pair, resize, sizes

# Modules of timm's classes; some have moved between versions.
MODELS, LAYERS = "timm.models.vision_transformer", "timm.layers"
ATTENTION = (f"{LAYERS}.attention.Attention", f"{MODELS}.Attention")
LAYER_SCALE = (f"{LAYERS}.layer_scale.LayerScale", f"{MODELS}.LayerScale")

LINKS = (
    Link("embedding.patches", "patch_embed.proj"),
    Link("embedding.class_token", "cls_token"),
    Link("embedding.positions.weight", "pos_embed", leading=1),
    Link("embedding.norm", "norm_pre"),
    Link("norm", "norm"),
    # The norm after pooling, with a classifier or without.
    Link("head.transform.0", "fc_norm"),
    Link("head.1", "fc_norm"),
    Link("head.classifier", "head"),
)
BLOCK = (
    Link("attention_norm", "norm1"),
    Link("attention.qkv", "attn.qkv"),
    Link("attention.out", "attn.proj"),
    Link("attention_scale.weight", "ls1.gamma"),
    Link("mlp_norm", "norm2"),
    Link("mlp.up", "mlp.fc1"),
    Link("mlp.down", "mlp.fc2"),
    Link("mlp_scale.weight", "ls2.gamma"),
)


def from_timm(model: Any, image_size: int | tuple[int, int] | None = None) -> Transformer:
    """A copy of timm's `model` as a Transformer, in evaluation mode; frozen parameters stay frozen.

    image_size: if the images have another size than in training; interpolates positions as timm
        does.

    Raises:
        ValueError: the class or a part of the model is not supported; the message names it.
    """
    components.require_class(model, f"{MODELS}.VisionTransformer")
    components.unmodified(model)
    components.without_gradient_hooks(model)
    _check(model)
    patches = components.patches(model.patch_embed.proj, "patch_embed.proj")
    trained = pair(model.patch_embed.img_size, "img_size")
    patch = pair(patches.kernel_size, "patch_embed.proj")
    size, old, new = sizes(trained, patch, image_size)
    prefix, d_model = model.num_prefix_tokens, model.embed_dim
    learned = model.pos_embed is not None
    embedding = PatchEmbedding(
        size,
        PatchProjection(patches.in_channels, patch, d_model, patches.bias is not None),
        class_token=model.cls_token is not None,
        positions=LearnedPositions(prefix + new[0] * new[1], d_model) if learned else NoPositions(),
        norm=components.norm(model.norm_pre, "norm_pre"),
        dropout=components.dropout(model.pos_drop, "pos_drop"),
    )
    blocks = [_block(block, f"blocks.{i}") for i, block in enumerate(model.blocks)]
    norm = components.norm(model.norm, "norm")
    ours = Transformer(embedding, blocks, norm, _head(model), Bidirectional())
    tensors = components.tensors(model)
    if learned:
        tensors["pos_embed"] = resize(tensors["pos_embed"], prefix, old, new, antialias=True)
    links = [*LINKS, *in_blocks(BLOCK, "blocks.", len(blocks))]
    load(ours, tensors, links)
    freeze(ours, components.frozen(model), links)
    return ours.eval()


def _check(model: Any) -> None:
    """Raise a ValueError for parts that ours does not support."""
    embed = model.patch_embed
    named(embed, "patch_embed", f"{LAYERS}.patch_embed.PatchEmbed")
    require(is_nothing(embed.norm), "patch_embed.norm", "a norm of patches alone")
    require(not embed.dynamic_img_pad, "patch_embed", "dynamic_img_pad")
    require(model.reg_token is None, "reg_token", "reg_tokens")
    has_both = model.cls_token is not None and model.pos_embed is not None
    require(not (model.no_embed_class and has_both), "pos_embed", "no_embed_class")
    require(is_nothing(model.patch_drop), "patch_drop", "patch_drop_rate")
    pre_norm = not is_nothing(model.norm_pre)
    dropped = components.dropout(model.pos_drop, "pos_drop")
    require(not (pre_norm and dropped), "pos_drop", "pos_drop_rate before pre_norm")
    require(model.attn_pool is None, "attn_pool", f"global_pool '{model.global_pool}'")
    known = model.global_pool in ("token", "avg", "")
    require(known, "global_pool", f"global_pool '{model.global_pool}'")
    components.exactly(model.blocks, nn.Sequential, "blocks")
    for i, block in enumerate(model.blocks):
        where = f"blocks.{i}"
        named(block, where, f"{MODELS}.Block")
        attention = block.attn
        named(attention, f"{where}.attn", *ATTENTION)
        named(block.mlp, f"{where}.mlp", f"{LAYERS}.mlp.Mlp")
        width = linear(attention.qkv, f"{where}.attn.qkv").in_features
        usual = (width // attention.num_heads) ** -0.5
        require(attention.scale == usual, f"{where}.attn", f"a scale of {attention.scale}")
        normless = is_nothing(attention.q_norm) and is_nothing(attention.k_norm)
        require(normless, f"{where}.attn", "qk_norm")
        require(is_nothing(attention.norm), f"{where}.attn", "scale_attn_norm")
        require(attention.gate is None, f"{where}.attn", "gated attention")
        require(is_nothing(block.mlp.norm), f"{where}.mlp", "scale_mlp_norm")
        for path in (block.drop_path1, block.drop_path2):
            require(is_nothing(path), where, "drop_path_rate")


def _block(block: Any, where: str) -> PreNormBlock:
    attention, mlp = block.attn, block.mlp
    qkv, out = attention.qkv, linear(attention.proj, f"{where}.attn.proj")
    up, down = linear(mlp.fc1, f"{where}.mlp.fc1"), linear(mlp.fc2, f"{where}.mlp.fc2")
    inner = components.dropout(mlp.drop1, f"{where}.mlp.drop1")
    return PreNormBlock(
        SelfAttention(
            qkv.in_features,
            attention.num_heads,
            components.dropout(attention.attn_drop, f"{where}.attn.attn_drop"),
            bias=qkv.bias is not None,
            out_bias=out.bias is not None,
        ),
        MLP(
            up.in_features,
            up.out_features,
            components.activation(mlp.act, f"{where}.mlp", inner),
            bias=down.bias is not None,
        ),
        components.norm(block.norm1, f"{where}.norm1"),
        components.norm(block.norm2, f"{where}.norm2"),
        components.residual_dropout(block, ("attn.proj_drop", "mlp.drop2"), where),
        *(_scale(getattr(block, name), f"{where}.{name}") for name in ("ls1", "ls2")),
    )


def _scale(theirs: Any, where: str) -> nn.Module:
    """The learned factors of a branch, or none."""
    if is_nothing(theirs):
        return nn.Identity()
    named(theirs, where, *LAYER_SCALE)
    return LayerScale(len(theirs.gamma), 1.0)


def _head(model: Any) -> nn.Module:
    """The classifier; without one, the pooled output or all tokens, as in timm."""
    skip = 0 if model.pool_include_prefix else model.num_prefix_tokens
    poolings = {"token": ClassToken(), "avg": MeanPooling(skip), "": HiddenStates()}
    pooling = poolings[model.global_pool]
    dropout = components.dropout(model.head_drop, "head_drop")
    transform = [components.norm(model.fc_norm, "fc_norm"), nn.Dropout(dropout)]
    if not dropout and is_nothing(transform[0]):
        transform = []
    if is_nothing(model.head):
        return nn.Sequential(pooling, *transform) if transform else pooling
    require(bool(model.global_pool), "global_pool", "a classifier without a global_pool")
    classes = components.classifier(model.head, "head").out_features
    return ClassificationHead(model.embed_dim, classes, pooling, nn.Sequential(*transform))
