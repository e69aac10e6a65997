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
from transformer.weights.components import require
from transformer.weights.links import Link, load
from transformer.weights.resizing import grid, pair, resize


def from_timm(model: Any, image_size: int | tuple[int, int] | None = None) -> Transformer:
    """A copy of timm's `model` as a Transformer, in evaluation mode.

    image_size: where it is to take other images than it was trained on; the positions are
        interpolated as by timm itself.

    Raises:
        ValueError: the model has a part that ours has no component for; it is named.
    """
    _check(model)
    patches = model.patch_embed.proj
    trained = pair(model.patch_embed.img_size, "img_size")
    size = trained if image_size is None else pair(image_size, "image_size")
    old, new = grid(trained, patches.kernel_size), grid(size, patches.kernel_size)
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
        dropout=model.pos_drop.p,
        bias=patches.bias is not None,
    )
    blocks = [_block(block, f"blocks.{i}") for i, block in enumerate(model.blocks)]
    norm = components.norm(model.norm, "norm")
    ours = Transformer(embedding, blocks, norm, _head(model), Bidirectional())
    tensors = model.state_dict()
    if learned:
        table = model.pos_embed.detach()
        tensors["pos_embed"] = resize(table, prefix, old, new, antialias=True)
    load(ours, tensors, _links(len(blocks)))
    return ours.eval()


def _check(model: Any) -> None:
    """Refuse by name what this model has and ours has not."""
    embed = model.patch_embed
    require(type(embed).__name__ == "PatchEmbed", "patch_embed", type(embed).__name__)
    require(embed.proj.stride == embed.proj.kernel_size, "patch_embed", "overlapping patches")
    require(isinstance(embed.norm, nn.Identity), "patch_embed.norm", "a norm of patches alone")
    require(not embed.dynamic_img_pad, "patch_embed", "dynamic_img_pad")
    require(model.reg_token is None, "reg_token", "reg_tokens")
    has_both = model.cls_token is not None and model.pos_embed is not None
    require(not (model.no_embed_class and has_both), "pos_embed", "no_embed_class")
    require(isinstance(model.patch_drop, nn.Identity), "patch_drop", "patch_drop_rate")
    pre_norm = not isinstance(model.norm_pre, nn.Identity)
    require(not (pre_norm and model.pos_drop.p), "pos_drop", "pos_drop_rate before pre_norm")
    require(model.attn_pool is None, "attn_pool", f"global_pool '{model.global_pool}'")
    known = model.global_pool in ("token", "avg", "")
    require(known, "global_pool", f"global_pool '{model.global_pool}'")
    for i, block in enumerate(model.blocks):
        where, attention = f"blocks.{i}", block.attn
        for part, name in ((block, "Block"), (attention, "Attention"), (block.mlp, "Mlp")):
            require(type(part).__name__ == name, where, f"{type(part).__name__} for {name}")
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
            width, attention.num_heads, attention.attn_drop.p, bias=qkv_bias, out_bias=bias
        ),
        MLP(
            width,
            mlp.fc1.out_features,
            components.activation(mlp.act, f"{where}.mlp", mlp.drop1.p),
            bias=mlp.fc1.bias is not None,
        ),
        components.norm(block.norm1, f"{where}.norm1"),
        components.norm(block.norm2, f"{where}.norm2"),
        mlp.drop2.p,
        *(
            nn.Identity() if isinstance(scale, nn.Identity) else LayerScale(width, 1.0)
            for scale in (block.ls1, block.ls2)
        ),
    )


def _head(model: Any) -> nn.Module:
    if isinstance(model.head, nn.Identity):
        require(not model.global_pool, "head", "num_classes=0 with a global_pool")
        return HiddenStates()
    require(bool(model.global_pool), "global_pool", "a classifier without a global_pool")
    skip = 0 if model.pool_include_prefix else model.num_prefix_tokens
    norm = components.norm(model.fc_norm, "fc_norm")
    dropout = model.head_drop.p
    return ClassificationHead(
        model.embed_dim,
        model.num_classes,
        ClassToken() if model.global_pool == "token" else MeanPooling(skip),
        nn.Sequential(norm, nn.Dropout(dropout)),
    )


def _links(n_layer: int) -> list[Link]:
    links = [
        Link("embedding.patches", "patch_embed.proj"),
        Link("embedding.class_token", "cls_token"),
        Link("embedding.positions.weight", "pos_embed", leading=1),
        Link("embedding.norm", "norm_pre"),
        Link("norm", "norm"),
        Link("head.transform.0", "fc_norm"),
        Link("head.classifier", "head"),
    ]
    for i in range(n_layer):
        block = f"blocks.{i}"
        links += [
            Link(f"{block}.attention_norm", f"{block}.norm1"),
            Link(f"{block}.attention.qkv", f"{block}.attn.qkv"),
            Link(f"{block}.attention.out", f"{block}.attn.proj"),
            Link(f"{block}.attention_scale.weight", f"{block}.ls1.gamma"),
            Link(f"{block}.mlp_norm", f"{block}.norm2"),
            Link(f"{block}.mlp.up", f"{block}.mlp.fc1"),
            Link(f"{block}.mlp.down", f"{block}.mlp.fc2"),
            Link(f"{block}.mlp_scale.weight", f"{block}.ls2.gamma"),
        ]
    return links
