"""Exported models: transformers' Auto classes open them, with equal outputs."""

import copy
import json
import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
)

import transformer
from tests.transformer.weights.huggingface_cases import CASES
from tests.transformer.weights.parity import randomised, relative
from tests.transformer.weights.timm_cases import vit as timm_vit
from transformer import Architecture
from transformer.patterns import Bidirectional, Causal
from transformer.weights import from_huggingface, from_timm, to_huggingface

SIZES = {"n_layer": 2, "n_head": 2, "d_model": 12, "d_mlp": 20, "dropout": 0.1,
         "embedding_dropout": 0.1}  # fmt: skip
NO_DROPOUT = {"dropout": 0.0, "embedding_dropout": 0.0}
LLAMA = NO_DROPOUT | {
    "norm": "rmsnorm", "positions": "rotary", "mlp": "gated", "activation": "silu",
    "bias": False, "rope_theta": 50.0, "norm_eps": 1e-3,
}  # fmt: skip


def bert(transform=True, tie=True, **changes):
    architecture = Architecture(**SIZES | {"norm_position": "post"} | changes)
    return transformer.bert(architecture, 23, 9, tie, transform)


def gpt(tie=True, **changes):
    return transformer.gpt(Architecture(**SIZES | changes), 23, 9, tie)


def vit(pooling="cls", stem="linear", **changes):
    return transformer.vit(Architecture(**SIZES | changes), 12, 4, 1, 5, pooling, stem=stem)


def changed(model, change):
    change(model)
    return model


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
        (
            lambda: from_timm(timm_vit(img_size=12, patch_size=4, in_chans=1)()),
            AutoModelForImageClassification, images, "ViTForImageClassification",
        ),
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


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize(
    ("make", "opens", "inputs"),
    [
        (lambda: bert(**NO_DROPOUT), AutoModelForMaskedLM, tokens),
        (lambda: bert(norm_position="pre", **NO_DROPOUT), AutoModelForMaskedLM, tokens),
        (lambda: gpt(**NO_DROPOUT), AutoModelForCausalLM, tokens),
        (lambda: gpt(**LLAMA), AutoModelForCausalLM, tokens),
        (lambda: vit(**NO_DROPOUT), AutoModelForImageClassification, images),
    ],
    ids=["bert", "bert, norms first", "gpt", "llama", "vit"],
)
def test_theirs_trains_as_ours(make, opens, inputs, optimizer, tmp_path):
    """Theirs without its token type, which ours does not have."""
    torch.manual_seed(0)
    ours = make()
    to_huggingface(ours, tmp_path)
    theirs = opens.from_pretrained(tmp_path)
    if hasattr(theirs, "bert"):
        theirs.bert.embeddings.token_type_embeddings.requires_grad_(False)
    x, before = inputs(), copy.deepcopy(ours)
    for model, logits in ((ours, lambda m: m(x)), (theirs, lambda m: m(x).logits)):
        steps = optimizer(model.train().parameters(), lr=0.01, weight_decay=0.1)
        labels = torch.arange(logits(model).numel() // logits(model).shape[-1]) % 5
        for _ in range(3):
            steps.zero_grad()
            F.cross_entropy(logits(model).flatten(0, -2), labels).backward()
            steps.step()
    theirs.save_pretrained(tmp_path / "trained")
    again = dict(from_huggingface(tmp_path / "trained").named_parameters())
    assert again.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        moved = (parameter - before.get_parameter(name)).norm()
        assert (again[name] - parameter).norm() <= 1e-3 * moved, name


@pytest.mark.parametrize(
    "case", [c for c in CASES if "interpolated" not in c.source], ids=lambda case: case.name
)
def test_an_imported_model_is_exported_unchanged(case, tmp_path):
    """All tensors and keys are equal; heads that cannot be exported are refused."""
    theirs = randomised(case.make())
    theirs.save_pretrained(tmp_path / "theirs")
    ours = from_huggingface(tmp_path / "theirs")
    if case.family in ("BertModel", "ViTModel"):
        with pytest.raises(ValueError, match="no family of transformers has the head"):
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
        (lambda: bert(qk_norm=True), ["BertForMaskedLM does not support", "qk_norm"]),
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
        (
            lambda: vit("mean", "convolutional", qk_norm=True),
            ["stem: ConvolutionalStem, not a linear projection", "pooling: MeanPooling", "qk_norm"],
        ),
        (
            lambda: bert(transform=False, mlp="gated", qk_norm=True, norm="rmsnorm",
                         positions="rotary", layer_scale=0.1),
            ["prediction_transform", "mlp: GatedMLP", "qk_norm", "norm: RMSNorm",
             "positions: rotary", "layer_scale", "bias: parts without one"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m.blocks[1].attention, "n_head", 4)),
            ["n_head: different values, 2, 4", "d_head: different values, 6, 3"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m.blocks[1].attention, "scale", 0.3)),
            ["another scale of attention"],
        ),
        (
            lambda: changed(bert(), lambda m: setattr(m.blocks[1].dropout, "p", 0.3)),
            ["dropout: different values, 0.1, 0.3"],
        ),
        (
            lambda: changed(bert(), lambda m: setattr(m.embedding.dropout, "p", 0.3)),
            ["dropout: different in embedding and blocks"],
        ),
        (
            lambda: changed(bert(), lambda m: setattr(m.head.transform[1], "approximate", "tanh")),
            ["a head with another activation or norm than the blocks"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m.blocks[1].mlp, "activation", nn.Mish())),
            ["activation: Mish", "activation: different values, gelu, Mish"],
        ),
        (
            lambda: changed(gpt(**LLAMA), lambda m: m.blocks[0].attention.rotation.__init__(
                9, 6, scaling=lambda frequencies: frequencies / 2)),
            ["positions: another scaling of frequencies"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m, "pattern", Bidirectional())),
            ["pattern: Bidirectional, not Causal"],
        ),
        (
            lambda: from_timm(timm_vit(final_norm=False)()),
            ["norm: none after the last block"],
        ),
        (
            lambda: from_timm(timm_vit(pre_norm=True, drop_rate=0.1)()),
            ["norm: LayerNorm before the first block", "dropout before the classifier"],
        ),
        (
            lambda: from_timm(timm_vit(proj_drop_rate=0.1)()),
            ["activation: GELU and Dropout", "dropout: different in embedding"],
        ),
    ],
)  # fmt: skip
def test_the_error_names_all_unsupported_parts(make, parts, tmp_path):
    with pytest.raises(ValueError) as caught:
        to_huggingface(make(), tmp_path / "out")
    for part in parts:
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def of_a_subclass(model, path):
    """`model` with a subclass of the module at `path`, as if it were one of this project."""
    module = model.get_submodule(path)
    kind = type(module)
    module.__class__ = type(f"New{kind.__name__}", (kind,), {"__module__": kind.__module__})
    return model


@pytest.mark.parametrize(
    ("make", "path", "part"),
    [
        (bert, "blocks.1.attention", "n_kv_head: NewSelfAttention"),
        (gpt, "blocks.1.attention", "n_kv_head: NewSelfAttention"),
        (lambda: gpt(**LLAMA), "blocks.0.attention", "n_kv_head: NewSelfAttention"),
        (
            lambda: gpt(**LLAMA | {"n_kv_head": 1}),
            "blocks.0.attention", "n_kv_head: NewGroupedQueryAttention",
        ),
        (vit, "blocks.0.attention", "n_kv_head: NewSelfAttention"),
        (gpt, "blocks.1", "norm_position: NewPreNormBlock"),
        (gpt, "blocks.1.mlp", "mlp: NewMLP"),
        (gpt, "blocks.0.attention_norm", "norm: NewLayerNorm"),
        (gpt, "head", "no family of transformers has the head NewLanguageModelHead"),
        (vit, "head", "no family of transformers has the head NewClassificationHead"),
    ],
)  # fmt: skip
def test_a_subclass_is_not_exported_as_its_parent(make, path, part, tmp_path):
    with pytest.raises(ValueError, match=part):
        to_huggingface(of_a_subclass(make(), path), tmp_path / "out")


def test_a_pattern_of_a_subclass_is_not_exported_as_causal(tmp_path):
    class Window(Causal):
        pass

    with pytest.raises(ValueError, match="pattern: Window, not Causal"):
        to_huggingface(changed(gpt(), lambda m: setattr(m, "pattern", Window())), tmp_path / "out")


@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_exported_files_have_the_permissions_of_new_files(umask, tmp_path):
    before = os.umask(umask)
    try:
        to_huggingface(gpt(), tmp_path / "out")
    finally:
        os.umask(before)
    for file in (tmp_path / "out").iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask, file


@torch.no_grad()
def test_the_type_of_the_numbers_is_written(tmp_path):
    ours = randomised(bert(tie=False)).bfloat16().eval()
    to_huggingface(ours, tmp_path)
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert theirs.dtype == torch.bfloat16
    assert all(tensor.dtype == torch.bfloat16 for tensor in theirs.state_dict().values())
    x = tokens()
    assert relative(ours(x), theirs(x).logits) < 0.02
    ours.embedding.float()
    with pytest.raises(ValueError, match=r"parameters of several types: torch\.bf.*, torch\.fl"):
        to_huggingface(ours, tmp_path / "out")
