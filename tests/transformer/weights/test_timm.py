"""timm's vit_*: equal outputs and gradients."""

import pytest

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
        ({"num_classes": 0}, "head: num_classes=0 with a global_pool"),
    ],
)
def test_what_ours_has_not_is_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=f"^{named}.* is not supported$"):
        from_timm(vit(**changes)())


def test_dropout_is_taken_along():
    rates = {"attn_drop_rate": 0.1, "proj_drop_rate": 0.2, "pos_drop_rate": 0.3, "drop_rate": 0.4}
    ours = from_timm(vit(**rates)())
    block = ours.blocks[0]
    assert (block.attention.dropout, block.dropout.p, block.mlp.activation[1].p) == (0.1, 0.2, 0.2)
    assert (ours.embedding.dropout.p, ours.head.transform[1].p) == (0.3, 0.4)
