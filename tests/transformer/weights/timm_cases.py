"""Tiny models of timm's VisionTransformer with odd sizes, and some of timm's named models."""

from collections.abc import Callable

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tests.transformer.weights.parity import Call, Case
from transformer.weights import from_timm


def vit(**changes) -> Callable[[], nn.Module]:
    sizes = {"img_size": 13, "patch_size": 3, "embed_dim": 30, "depth": 2, "num_heads": 3,
             "mlp_ratio": 1.5, "num_classes": 7}  # fmt: skip
    return lambda: VisionTransformer(**sizes | changes)


def named(name: str, **changes) -> Callable[[], nn.Module]:
    sizes = {"img_size": 64, "depth": 2, "num_classes": 7}
    return lambda: timm.create_model(name, **sizes | changes)


def calls(size: tuple[int, int] | None = None) -> Callable:
    def made(theirs: nn.Module) -> list[Call]:
        height, width = size or theirs.patch_embed.img_size
        found = []
        for batch in (1, 3):
            images = torch.randn(batch, theirs.patch_embed.proj.in_channels, height, width)
            shape = f"{batch} x {images.shape[1]} x {height} x {width}"
            found.append(Call(shape, lambda m, i=images: m(i), lambda m, i=images: m(i)))
        return found

    return made


def case(variant: str, make: Callable, **options) -> Case:
    return Case("VisionTransformer", f"timm, {variant}", make, from_timm, calls(), **options)


CASES = [
    case("class token", vit()),
    case("mean pooling", vit(global_pool="avg")),
    case("mean pooling, no class token", vit(global_pool="avg", class_token=False)),
    case("mean of all tokens", vit(global_pool="avg", pool_include_prefix=True, fc_norm=False)),
    case("pre-norm layer", vit(pre_norm=True)),
    case("no qkv bias", vit(qkv_bias=False)),
    case("no biases of projections", vit(proj_bias=False)),
    case("layer scale", vit(init_values=0.1)),
    case("RMSNorm, SiLU", vit(norm_layer="rmsnorm", act_layer="silu")),
    case("timm's own GELU", vit(act_layer="gelu")),
    case("timm's own GELU by tanh", vit(act_layer="gelu_tanh")),
    case("no positions", vit(pos_embed="none")),
    case("positions of patches alone",
         vit(no_embed_class=True, class_token=False, global_pool="avg")),
    case("features", vit(num_classes=0, global_pool="")),
    case("the class token without a classifier", vit(num_classes=0)),
    case("the mean without a classifier", vit(num_classes=0, global_pool="avg")),
    case("images and patches that are not square", vit(img_size=(9, 17), patch_size=(3, 4))),
    case("vit_tiny_patch16_224", named("vit_tiny_patch16_224")),
    case("vit_small_patch14_dinov2",
         named("vit_small_patch14_dinov2", img_size=56, num_classes=0)),
    case("vit_base_patch32_clip_224", named("vit_base_patch32_clip_224")),
    Case(
        "VisionTransformer", "timm, interpolated positions", vit(dynamic_img_size=True),
        lambda model: from_timm(model, image_size=(21, 9)), calls((21, 9)), gradients=False,
    ),
]  # fmt: skip
