"""timm's vit_*: equal outputs and gradients."""

import pytest
import timm
from timm.layers import SwiGLU
from timm.models.vision_transformer import ParallelThingsBlock

from tests.transformer.weights.parity import errors
from tests.transformer.weights.timm_cases import CASES, vit
from transformer.weights import from_timm


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reg_tokens": 2}, "reg_token: reg_tokens"),
        ({"qk_norm": True}, r"blocks\.0\.attn: qk_norm"),
        ({"no_embed_class": True}, "pos_embed: no_embed_class"),
        ({"global_pool": "map"}, "attn_pool: global_pool 'map'"),
        ({"global_pool": "max"}, "global_pool: global_pool 'max'"),
        ({"drop_path_rate": 0.1}, r"blocks\.1: drop_path_rate"),
        ({"patch_drop_rate": 0.1}, "patch_drop: patch_drop_rate"),
        ({"pre_norm": True, "pos_drop_rate": 0.1}, "pos_drop: pos_drop_rate before pre_norm"),
        ({"act_layer": "tanh"}, r"blocks\.0\.mlp: the activation Tanh"),
        ({"scale_mlp_norm": True}, r"blocks\.0\.mlp: scale_mlp_norm"),
        ({"scale_attn_norm": True}, r"blocks\.0\.attn: scale_attn_norm"),
        ({"block_fn": ParallelThingsBlock}, r"blocks\.0: ParallelThingsBlock in place of Block"),
        ({"mlp_layer": SwiGLU}, r"blocks\.0\.mlp: SwiGLU in place of Mlp"),
    ],
)
def test_what_ours_has_not_is_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=f"^{named}.* is not supported$"):
        from_timm(vit(**changes)())


@pytest.mark.parametrize(
    "name",
    ["resnet18", "vit_relpos_small_patch16_224", "beit_base_patch16_224", "cait_xxs24_224",
     "naflexvit_base_patch16_gap", "eva02_tiny_patch14_224", "deit_tiny_distilled_patch16_224"],
)  # fmt: skip
def test_another_class_is_refused_by_its_name(name):
    model = timm.create_model(name) if name == "resnet18" else timm.create_model(name, depth=1)
    with pytest.raises(ValueError, match=f"^expected a timm.*, not a .*{type(model).__name__}$"):
        from_timm(model)


def test_a_scale_of_attention_of_its_own_is_refused():
    model = timm.create_model("vit_tiny_patch16_224", depth=1)
    model.blocks[0].attn.scale = 0.1
    with pytest.raises(ValueError, match=r"^blocks\.0\.attn: a scale of 0\.1 is not supported$"):
        from_timm(model)


def test_images_without_a_patch_are_refused():
    with pytest.raises(ValueError, match="image_size: 2 x 2 pixels are smaller than a patch"):
        from_timm(vit()(), image_size=2)


def test_a_parameter_in_two_places_is_refused():
    model = vit()()
    model.blocks[1] = model.blocks[0]
    with pytest.raises(ValueError, match=r"^blocks\.1\.norm1\.weight: a parameter shared with"):
        from_timm(model)


def test_dropout_is_taken_along():
    rates = {"attn_drop_rate": 0.1, "proj_drop_rate": 0.2, "pos_drop_rate": 0.3, "drop_rate": 0.4}
    ours = from_timm(vit(**rates)())
    block = ours.blocks[0]
    assert (block.attention.dropout, block.dropout.p, block.mlp.activation[1].p) == (0.1, 0.2, 0.2)
    assert (ours.embedding.dropout.p, ours.head.transform[1].p) == (0.3, 0.4)
