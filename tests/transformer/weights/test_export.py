"""Models of ours as folders of transformers: the Auto classes open them, with equal outputs."""

import json

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
)

import transformer
from tests.transformer.weights.huggingface_cases import CASES
from tests.transformer.weights.parity import randomised, relative
from transformer import Architecture
from transformer.weights import from_huggingface, to_huggingface

SIZES = {"n_layer": 2, "n_head": 2, "d_model": 12, "d_mlp": 20, "dropout": 0.1}
LLAMA = {
    "norm": "rmsnorm", "positions": "rotary", "mlp": "gated", "activation": "silu",
    "bias": False, "dropout": 0.0, "rope_theta": 50.0, "norm_eps": 1e-3,
}  # fmt: skip


def bert(transform=True, tie=True, **changes):
    architecture = Architecture(**SIZES | {"norm_position": "post"} | changes)
    return transformer.bert(architecture, 23, 9, tie, transform)


def gpt(tie=True, **changes):
    return transformer.gpt(Architecture(**SIZES | changes), 23, 9, tie)


def vit(pooling="cls", **changes):
    return transformer.vit(Architecture(**SIZES | changes), 12, 4, 1, 5, pooling)


def tokens():
    return torch.randint(23, (3, 9))


def images():
    return torch.randn(3, 1, 12, 12)


@pytest.mark.parametrize(
    ("make", "opens", "inputs", "name"),
    [
        (bert, AutoModelForMaskedLM, tokens, "BertForMaskedLM"),
        (
            lambda: bert(norm_position="pre"),
            AutoModelForMaskedLM, tokens, "MegatronBertForMaskedLM",
        ),
        (
            lambda: bert(tie=False, activation="relu", norm_eps=1e-3),
            AutoModelForMaskedLM, tokens, "BertForMaskedLM",
        ),
        (gpt, AutoModelForCausalLM, tokens, "GPT2LMHeadModel"),
        (
            lambda: gpt(tie=False, activation="gelu_tanh", norm_eps=1e-3),
            AutoModelForCausalLM, tokens, "GPT2LMHeadModel",
        ),
        (lambda: gpt(**LLAMA), AutoModelForCausalLM, tokens, "LlamaForCausalLM"),
        (
            lambda: gpt(tie=False, **LLAMA | {"n_kv_head": 1, "bias": True}),
            AutoModelForCausalLM, tokens, "LlamaForCausalLM",
        ),
        (vit, AutoModelForImageClassification, images, "ViTForImageClassification"),
    ],
)  # fmt: skip
@torch.no_grad()
def test_theirs_gives_the_outputs_of_ours(make, opens, inputs, name, tmp_path):
    torch.manual_seed(0)
    ours = randomised(make()).eval()
    assert to_huggingface(ours, tmp_path) == name
    theirs, report = opens.from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == name
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    x = inputs()
    assert relative(ours(x), theirs.eval()(x).logits) < 1e-5


@pytest.mark.parametrize(
    "case", [c for c in CASES if "interpolated" not in c.source], ids=lambda case: case.name
)
def test_what_came_from_there_goes_back(case, tmp_path):
    """Tensor for tensor and key for key; a part that came in and cannot go out is refused."""
    theirs = randomised(case.make())
    theirs.save_pretrained(tmp_path / "theirs")
    ours = from_huggingface(tmp_path / "theirs")
    if case.family in ("BertModel", "ViTModel"):
        with pytest.raises(ValueError, match="no family of transformers has the head"):
            to_huggingface(ours, tmp_path / "ours")
        return
    if "scaled" in case.source:
        with pytest.raises(ValueError, match="a scale of attention"):
            to_huggingface(ours, tmp_path / "ours")
        return
    to_huggingface(ours, tmp_path / "ours")
    again = from_huggingface(tmp_path / "ours")
    for ours_now, before in zip(again.parameters(), ours.parameters(), strict=True):
        assert torch.equal(ours_now, before)
    written, given = (
        json.loads((tmp_path / f / "config.json").read_text()) for f in ("ours", "theirs")
    )
    for key, value in written.items():
        if key not in ("n_inner", "bos_token_id", "eos_token_id", "hidden_act"):
            assert value == given[key], key


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: bert(qk_norm=True), ["BertForMaskedLM has no place for", "qk_norm"]),
        (
            lambda: bert(norm_position="pre", qk_norm=True, transform=False),
            ["MegatronBertForMaskedLM", "prediction_transform"],
        ),
        (lambda: bert(transform=False, mlp="gated"), ["prediction_transform", "mlp: GatedMLP"]),
        (lambda: bert(positions="rotary"), ["positions: rotary"]),
        (lambda: bert(positions="sinusoidal"), ["positions: SinusoidalPositions, not learned"]),
        (lambda: bert(n_kv_head=1), ["n_kv_head: GroupedQueryAttention"]),
        (lambda: bert(bias=False), ["bias: parts without one"]),
        (lambda: bert(norm="rmsnorm"), ["norm: RMSNorm"]),
        (lambda: gpt(layer_scale=0.1, qk_norm=True), ["GPT2LMHeadModel", "layer_scale", "qk_norm"]),
        (lambda: gpt(norm_position="post"), ["norm_position: PostNormBlock, not PreNormBlock"]),
        (lambda: gpt(**LLAMA | {"dropout": 0.1}), ["LlamaForCausalLM", "dropout outside"]),
        (lambda: gpt(positions="rotary", mlp="gated"), ["norm: LayerNorm"]),
        (lambda: vit("mean"), ["ViTForImageClassification", "pooling: MeanPooling"]),
        (lambda: vit(activation="silu", qk_norm=True), ["qk_norm"]),
    ],
)
def test_a_part_that_theirs_has_not_is_refused_by_name(make, parts, tmp_path):
    with pytest.raises(ValueError) as caught:
        to_huggingface(make(), tmp_path / "out")
    for part in parts:
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()
