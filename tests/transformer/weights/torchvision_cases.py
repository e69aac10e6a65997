"""Small models of torchvision's VisionTransformer, and vit_b_16 with two layers."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from tests.transformer.weights.parity import Call, Case
from transformer.weights import from_torchvision

SIZES = {
    "image_size": 12, "patch_size": 4, "num_layers": 2, "num_heads": 3, "hidden_dim": 30,
    "mlp_dim": 41, "num_classes": 7,
}  # fmt: skip
VIT_B_16 = {
    "image_size": 224, "patch_size": 16, "num_layers": 2, "num_heads": 12, "hidden_dim": 768,
    "mlp_dim": 3072, "num_classes": 1000,
}  # fmt: skip


def vit(**changes) -> Callable[[], nn.Module]:
    return lambda: VisionTransformer(**SIZES | changes)


def with_heads(heads: Callable[[], nn.Module], inside: bool = False) -> Callable[[], nn.Module]:
    """inside: replace only the classifier inside the head."""

    def make() -> nn.Module:
        model = vit()()
        setattr(model.heads if inside else model, "head" if inside else "heads", heads())
        return model

    return make


def calls(theirs: nn.Module) -> list[Call]:
    found = []
    for batch in (1, 3):
        images = torch.randn(batch, 3, theirs.image_size, theirs.image_size)
        shape = " x ".join(map(str, images.shape))
        found.append(Call(shape, lambda m, i=images: m(i), lambda m, i=images: m(i)))
    return found


def larger_calls(theirs: nn.Module) -> list[Call]:
    """Compare with positions interpolated by torchvision."""
    state = interpolate_embeddings(20, 4, OrderedDict(theirs.state_dict()))
    larger = vit(image_size=20)().eval()
    larger.load_state_dict(state)
    images = torch.randn(2, 3, 20, 20)
    return [Call("2 x 3 x 20 x 20", lambda m: m(images), lambda m: larger(images))]


def case(variant: str, make: Callable) -> Case:
    return Case("VisionTransformer", f"torchvision, {variant}", make, from_torchvision, calls)


CASES = [
    case("class token", vit()),
    case("hidden layer in the head", vit(representation_size=11)),
    case("another classifier", with_heads(lambda: nn.Linear(30, 3))),
    case("no classifier", with_heads(nn.Identity)),
    case("no classifier inside of its head", with_heads(nn.Identity, inside=True)),
    case("vit_b_16 with 2 layers", vit(**VIT_B_16)),
    Case(
        "VisionTransformer", "torchvision, interpolated positions", vit(),
        lambda model: from_torchvision(model, image_size=20), larger_calls, gradients=False,
    ),
]  # fmt: skip
