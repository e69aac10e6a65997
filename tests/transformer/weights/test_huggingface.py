"""Models of transformers: equal outputs and gradients, and nothing ignored."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertForMaskedLM,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    ViTForImageClassification,
)

from tests.transformer.weights.huggingface_cases import (
    CASES,
    VOCABULARY,
    bert,
    gpt2,
    llama,
    vit,
)
from tests.transformer.weights.parity import errors
from transformer.weights import from_huggingface


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found


@pytest.fixture
def folder(tmp_path):
    """A saved model, by the name of its family, whose files may be changed."""

    def save(make, config=None, tensors=None):
        make().save_pretrained(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text()) | (config or {})
        (tmp_path / "config.json").write_text(json.dumps(values))
        if tensors:
            kept = tensors(load_file(tmp_path / "model.safetensors"))
            save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
        return tmp_path

    return save


BERT, GPT2, LLAMA = bert(BertForMaskedLM), gpt2(), llama()
VIT = vit(ViTForImageClassification)


@pytest.mark.parametrize(
    ("make", "config", "message"),
    [
        (BERT, {"hidden_act": "mish"}, "hidden_act: 'mish' is not supported; known are gelu"),
        (BERT, {"position_embedding_type": "relative_key"}, "position_embedding_type: 'relative"),
        (BERT, {"is_decoder": True}, "is_decoder: True is not supported; only False is"),
        (BERT, {"colour": 1, "age": 2}, "unknown keys, .*: age, colour"),
        (BERT, {"architectures": ["BertForTokenClassification"]}, "one of BertModel, BertForMask"),
        (BERT, {"model_type": "roberta"}, "model_type: 'roberta' .* known are bert, megatron-bert"),
        (BERT, {"hidden_size": 24}, "of shape .*, but the configuration makes it"),
        (BERT, {"num_hidden_layers": 3}, "missing tensors: bert.encoder.layer.2.attention"),
        (BERT, {"num_hidden_layers": 1}, "no place for: bert.encoder.layer.1"),
        (BERT, {"tie_word_embeddings": False}, "missing tensors: cls.predictions.decoder.bias"),
        (GPT2, {"n_ctx": 99}, "n_ctx: 99 is not supported; only that of n_positions is, 17"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention: True is not supported"),
        (LLAMA, {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "known rope_types are"),
        (LLAMA, {"rope_parameters": {"rope_type": "linear", "speed": 2.0}}, "argument 'speed'"),
        (LLAMA, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        (LLAMA, {"pretraining_tp": 2}, "pretraining_tp: 2 is not supported"),
        (VIT, {"image_size": 16}, "of shape .*, but the configuration makes it"),
        (VIT, {"id2label": {"0": "a"}}, "classifier.weight: of shape"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(folder, make, config, message):
    saved = folder(make, config)
    with pytest.raises(ValueError, match=message) as caught:
        from_huggingface(saved)
    assert str(caught.value).startswith(f"{saved}: ")


def test_folders_that_hold_no_model(folder, tmp_path):
    with pytest.raises(ValueError, match=r"config\.json is missing: expected a folder"):
        from_huggingface(tmp_path / "nowhere")
    saved = folder(BERT)
    with pytest.raises(ValueError, match="a BertForMaskedLM takes no images"):
        from_huggingface(saved, image_size=8)
    (saved / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not readable as safetensors"):
        from_huggingface(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors is missing"):
        from_huggingface(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        from_huggingface(saved)


def same(folder, expected):
    ids = torch.randint(VOCABULARY, (2, 9))
    torch.testing.assert_close(from_huggingface(folder)(ids), expected(ids).logits)


def test_files_of_older_versions_hold_the_same(folder):
    """Norms named gamma and beta, names without a prefix, and buffers beside the parameters."""

    def old_bert(tensors):
        renamed = tensors
        for new, old in (("weight", "gamma"), ("bias", "beta")):
            renamed = {
                k.replace(f"LayerNorm.{new}", f"LayerNorm.{old}"): v for k, v in renamed.items()
            }
        return renamed | {"bert.embeddings.position_ids": torch.arange(17)[None]}

    def old_gpt2(tensors):
        mask = torch.ones(17, 17).tril()[None, None]
        buffers = {f"h.{i}.attn.bias": mask.clone() for i in range(2)}
        buffers |= {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
        return {k.removeprefix("transformer."): v for k, v in tensors.items()} | buffers

    old_llama = {"rope_parameters": None, "rope_theta": 50.0,
                 "rope_scaling": {"type": "linear", "factor": 2.0}}  # fmt: skip
    new = {"rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0}}
    for make, kind, config, tensors in (
        (BERT, BertForMaskedLM, {}, old_bert),
        (GPT2, GPT2LMHeadModel, {"n_ctx": 17, "torch_dtype": "float32"}, old_gpt2),
        (llama(**new), LlamaForCausalLM, old_llama, None),
    ):
        saved = folder(make)
        expected = kind.from_pretrained(saved).eval()
        ours = from_huggingface(saved)
        values = json.loads((saved / "config.json").read_text()) | config
        (saved / "config.json").write_text(json.dumps(values))
        if tensors:
            old = tensors(load_file(saved / "model.safetensors"))
            save_file(old, saved / "model.safetensors", {"format": "pt"})
        for parameter, again in zip(
            ours.parameters(), from_huggingface(saved).parameters(), strict=True
        ):
            assert torch.equal(parameter, again)
        same(saved, expected)


def test_a_buffer_with_values_of_its_own_is_refused(folder):
    other = {"h.0.attn.bias": torch.ones(17, 17)}
    with pytest.raises(ValueError, match=r"h\.0\.attn\.bias: a buffer with values of its own"):
        from_huggingface(folder(GPT2, tensors=lambda tensors: tensors | other))


def test_a_tied_weight_that_was_saved_twice_is_to_be_the_same(folder):
    copy = "lm_head.weight"
    words = "transformer.wte.weight"
    saved = folder(GPT2, tensors=lambda tensors: tensors | {copy: tensors[words].clone()})
    same(saved, GPT2LMHeadModel.from_pretrained(saved).eval())
    with pytest.raises(ValueError, match=f"tie_word_embeddings: {copy} and {words} differ"):
        from_huggingface(folder(GPT2, tensors=lambda tensors: tensors | {copy: tensors[words] + 1}))


def test_tensors_of_another_task_are_dropped_only_if_named(folder):
    pooler = {"bert.pooler.dense.weight": torch.zeros(30, 30)}
    saved = folder(BERT, tensors=lambda tensors: tensors | pooler)
    with pytest.raises(ValueError, match=r"no place for: bert\.pooler\.dense\.weight"):
        from_huggingface(saved)
    model = from_huggingface(saved, drop=("bert.pooler.",))
    same_output = BertForMaskedLM.from_pretrained(saved).eval()
    ids = torch.randint(VOCABULARY, (2, 9))
    torch.testing.assert_close(model(ids), same_output(ids).logits)


def test_weights_in_several_files(folder):
    model = gpt2()().eval()
    saved = folder(lambda: model)
    (saved / "model.safetensors").unlink()
    model.save_pretrained(saved, max_shard_size="20KB")
    assert len(list(saved.glob("*.safetensors"))) > 1
    same(saved, model)
