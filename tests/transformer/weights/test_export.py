"""Exported models: transformers' Auto classes open them, with equal outputs."""

import copy
import json
import os

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
)

from tests.transformer.weights.export_cases import LLAMA, NO_DROPOUT, bert, gpt, vit
from tests.transformer.weights.huggingface_cases import CASES
from tests.transformer.weights.parity import randomised, relative
from tests.transformer.weights.timm_cases import vit as timm_vit
from transformer.weights import from_huggingface, from_timm, to_huggingface


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
