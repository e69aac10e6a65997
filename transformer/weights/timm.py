"""timm's VisionTransformer (its models vit_*), as an object; timm itself is not needed."""

from typing import Any

from torch import nn

from transformer.attention import SelfAttention
from transformer.embeddings import PatchEmbedding
from transformer.heads import ClassificationHead, ClassToken, HiddenStates, MeanPooling
from transformer.layers import MLP, LayerScale, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions, NoPositions
from transformer.weights import components
from transformer.weights.components import named, require
from transformer.weights.links import Link, in_blocks, load
from transformer.weights.resizing import pair, resize, sizes

LINKS = (
    Link("embedding.patches", "patch_embed.proj"),
    Link("embedding.class_token", "cls_token"),
    Link("embedding.positions.weight", "pos_embed", leading=1),
    Link("embedding.norm", "norm_pre"),
    Link("norm", "norm"),
    # The norm of what was pooled, with classes or without.
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
    """A copy of timm's `model` as a Transformer, in evaluation mode.

    image_size: where it is to take other images than it was trained on; the positions are
        interpolated as by timm itself.

    Raises:
        ValueError: it is of another class, or has a part that ours has no component for; it is
            named.
    """
    components.require_class(model, "timm.models.vision_transformer.VisionTransformer")
    _check(model)
    patches = model.patch_embed.proj
    trained = pair(model.patch_embed.img_size, "img_size")
    size, old, new = sizes(trained, patches.kernel_size, image_size)
    prefix, d_model = model.num_prefix_tokens, model.embed_dim
    learned = model.pos_embed is not None
    embedding = PatchEmbedding(
        size,
        patches.in_channels,
        patches.kernel_size,
        d_model,
        class_token=model.cls_token is not None,
        positions=LearnedPositions(prefix + new[0] * new[1], d_model) if learned else NoPositions(),
        norm=components.norm(model.norm_pre, "norm_pre"),
        dropout=components.dropout(model.pos_drop, "pos_drop"),
        bias=patches.bias is not None,
    )
    blocks = [_block(block, f"blocks.{i}") for i, block in enumerate(model.blocks)]
    norm = components.norm(model.norm, "norm")
    ours = Transformer(embedding, blocks, norm, _head(model), Bidirectional())
    tensors = components.tensors(model)
    if learned:
        tensors["pos_embed"] = resize(tensors["pos_embed"], prefix, old, new, antialias=True)
    load(ours, tensors, [*LINKS, *in_blocks(BLOCK, "blocks.", len(blocks))])
    return ours.eval()


def _check(model: Any) -> None:
    """Refuse by name what this model has and ours has not."""
    embed = model.patch_embed
    named(embed, "PatchEmbed", "patch_embed")
    require(embed.proj.stride == embed.proj.kernel_size, "patch_embed", "overlapping patches")
    require(isinstance(embed.norm, nn.Identity), "patch_embed.norm", "a norm of patches alone")
    require(not embed.dynamic_img_pad, "patch_embed", "dynamic_img_pad")
    require(model.reg_token is None, "reg_token", "reg_tokens")
    has_both = model.cls_token is not None and model.pos_embed is not None
    require(not (model.no_embed_class and has_both), "pos_embed", "no_embed_class")
    require(isinstance(model.patch_drop, nn.Identity), "patch_drop", "patch_drop_rate")
    pre_norm = not isinstance(model.norm_pre, nn.Identity)
    dropped = components.dropout(model.pos_drop, "pos_drop")
    require(not (pre_norm and dropped), "pos_drop", "pos_drop_rate before pre_norm")
    require(model.attn_pool is None, "attn_pool", f"global_pool '{model.global_pool}'")
    known = model.global_pool in ("token", "avg", "")
    require(known, "global_pool", f"global_pool '{model.global_pool}'")
    for i, block in enumerate(model.blocks):
        where = f"blocks.{i}"
        named(block, "Block", where)
        attention = block.attn
        named(attention, "Attention", f"{where}.attn")
        named(block.mlp, "Mlp", f"{where}.mlp")
        usual = (attention.qkv.in_features // attention.num_heads) ** -0.5
        require(attention.scale == usual, f"{where}.attn", f"a scale of {attention.scale}")
        require(isinstance(attention.q_norm, nn.Identity), f"{where}.attn", "qk_norm")
        require(isinstance(attention.norm, nn.Identity), f"{where}.attn", "scale_attn_norm")
        require(attention.gate is None, f"{where}.attn", "gated attention")
        require(isinstance(block.mlp.norm, nn.Identity), f"{where}.mlp", "scale_mlp_norm")
        for path in (block.drop_path1, block.drop_path2):
            require(isinstance(path, nn.Identity), where, "drop_path_rate")


def _block(block: Any, where: str) -> PreNormBlock:
    attention, mlp = block.attn, block.mlp
    qkv_bias, bias = attention.qkv.bias is not None, attention.proj.bias is not None
    width = attention.qkv.in_features
    return PreNormBlock(
        SelfAttention(
            width,
            attention.num_heads,
            components.dropout(attention.attn_drop, f"{where}.attn.attn_drop"),
            bias=qkv_bias,
            out_bias=bias,
        ),
        MLP(
            width,
            mlp.fc1.out_features,
            components.activation(
                mlp.act, f"{where}.mlp", components.dropout(mlp.drop1, f"{where}.mlp.drop1")
            ),
            bias=mlp.fc1.bias is not None,
        ),
        components.norm(block.norm1, f"{where}.norm1"),
        components.norm(block.norm2, f"{where}.norm2"),
        components.residual_dropout(block, ("attn.proj_drop", "mlp.drop2"), where),
        *(
            nn.Identity() if isinstance(scale, nn.Identity) else LayerScale(width, 1.0)
            for scale in (block.ls1, block.ls2)
        ),
    )


def _head(model: Any) -> nn.Module:
    """Without classes, what timm gives in their place: the pooled tokens, or all of them."""
    skip = 0 if model.pool_include_prefix else model.num_prefix_tokens
    poolings = {"token": ClassToken(), "avg": MeanPooling(skip), "": HiddenStates()}
    pooling = poolings[model.global_pool]
    dropout = components.dropout(model.head_drop, "head_drop")
    transform = [components.norm(model.fc_norm, "fc_norm"), nn.Dropout(dropout)]
    if not dropout and isinstance(transform[0], nn.Identity):
        transform = []
    if isinstance(model.head, nn.Identity):
        return nn.Sequential(pooling, *transform) if transform else pooling
    require(bool(model.global_pool), "global_pool", "a classifier without a global_pool")
    classes = components.classifier(model.head, "head").out_features
    return ClassificationHead(model.embed_dim, classes, pooling, nn.Sequential(*transform))
