"""Models of transformers: equal outputs and gradients; no setting is ignored."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
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
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.vit import labels


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found


@pytest.fixture
def folder(tmp_path):
    """A function that saves a model with changes in its files."""

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
        (BERT, {"hidden_act": "mish"}, "hidden_act: 'mish' is not supported; expected one of gelu"),
        (BERT, {"position_embedding_type": "relative_key"}, "position_embedding_type: 'relative"),
        (BERT, {"is_decoder": True}, "is_decoder: True is not supported; expected False"),
        (BERT, {"colour": 1, "age": 2}, "unknown keys, .*: age, colour"),
        (BERT, {"architectures": ["BertForTokenClassification"]}, "one of BertForMaskedLM, Ber"),
        (BERT, {"model_type": "roberta"}, "model_type: 'roberta' .* expected one of bert, meg"),
        (BERT, {"hidden_size": 24}, r"gives \(24.*\) \(see .*hidden_size"),
        (BERT, {"num_hidden_layers": 3}, "num_hidden_layers: 3 .*; the weights have 2"),
        (BERT, {"num_hidden_layers": 1}, "num_hidden_layers: 1 .*; the weights have 2"),
        (BERT, {"tie_word_embeddings": False}, "missing tensors: cls.predictions.decoder.bias"),
        (BERT, {"model_type": ["bert"]}, r"model_type: \['bert'\] is not supported"),
        (BERT, {"architectures": ["MegatronBertForMaskedLM"]}, "architectures: .*; expected a li"),
        (BERT, {"architectures": "BertModel"}, "architectures: 'BertModel' is not supported"),
        (BERT, {"num_attention_heads": 4}, "num_attention_heads: 4 .* a divisor of the width 30"),
        (BERT, {"num_attention_heads": 0}, "num_attention_heads: 0 .* a whole number above 0"),
        (BERT, {"num_hidden_layers": 0}, "num_hidden_layers: 0 is not supported"),
        (BERT, {"layer_norm_eps": None}, "layer_norm_eps: None .*; expected a number above 0"),
        (BERT, {"layer_norm_eps": -1.0}, "layer_norm_eps: -1.0 is not supported"),
        (BERT, {"pad_token_id": 99}, "pad_token_id: 99 .*; expected one of the 53 tokens"),
        (BERT, {"vocab_size": 54}, r"word_embeddings.weight: shape .* \(see vocab_size"),
        (BERT, {"hidden_dropout_prob": 2}, "hidden_dropout_prob: 2 .*; expected a probability"),
        (BERT, {"directionality": "uni"}, "directionality: 'uni' .*; expected 'bidi'"),
        (GPT2, {"n_inner": 0}, "n_inner: 0 is not supported; expected a whole number above 0"),
        (GPT2, {"scale_attn_weights": None}, "scale_attn_weights: None .*; expected true or false"),
        (GPT2, {"n_ctx": 99}, "n_ctx: 99 is not supported; expected n_positions, 17"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention: True is not supported"),
        (LLAMA, {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "expected a rope_type"),
        (LLAMA, {"rope_parameters": {"rope_type": "linear", "speed": 2.0}}, "argument 'speed'"),
        (LLAMA, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        (LLAMA, {"rope_parameters": "linear"}, "rope_parameters: 'linear' is not supported"),
        (LLAMA, {"rope_parameters": {"rope_type": "linear", "factor": 0}}, "numbers above 0"),
        (
            LLAMA,
            {"rope_parameters": {"rope_type": "linear", "type": "llama3", "factor": 2}},
            "expected a rope_type of",
        ),
        (LLAMA, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling: .* rope_type"),
        (LLAMA, {"rope_interleaved": True}, "rope_interleaved: True .*; expected False"),
        (LLAMA, {"head_dim": 0}, "head_dim: 0 is not supported; expected a whole number above 0"),
        (LLAMA, {"head_dim": 3}, "head_dim: 3 .*; rotary positions need an even number"),
        (LLAMA, {"num_key_value_heads": 4}, "num_key_value_heads: 4 .* a divisor of the 6 heads"),
        (LLAMA, {"num_key_value_heads": 3}, r"k_proj.*: shape .* \(see .*key_value"),
        (LLAMA, {"pretraining_tp": 2}, "pretraining_tp: 2 is not supported"),
        (VIT, {"image_size": 16}, r"shape .*, but the configuration gives .*image_size"),
        (VIT, {"image_size": [12]}, r"config.json: image_size: \[12\] is not supported"),
        (VIT, {"image_size": 12.0}, "image_size: 12.0 is not supported"),
        (VIT, {"image_size": 2}, "image_size: 2 x 2 pixels are smaller than a patch"),
        (VIT, {"patch_size": 0}, "patch_size: 0 is not supported; expected one or two whole"),
        (VIT, {"id2label": {"1": "a", "2": "b"}}, "id2label: .*; expected names of classes by"),
        (VIT, {"id2label": {}}, "id2label: {} is not supported; expected names of classes"),
        (VIT, {"id2label": ["a", "b"]}, "id2label: .*; expected names of classes by their numbers"),
        (VIT, {"num_labels": 6}, "num_labels: 6 .*; expected 7, as in id2label"),
        (VIT, {"id2label": {"0": "a"}}, r"classifier.weight: shape .* \(see id2label"),
    ],
)
def test_the_error_names_an_unsupported_setting(folder, make, config, message):
    saved = folder(make, config)
    with pytest.raises(ValueError, match=message) as caught:
        from_huggingface(saved)
    assert str(caught.value).startswith(f"{saved}: ")


def test_folders_that_hold_no_model(folder, tmp_path):
    with pytest.raises(ValueError, match=r"config\.json is missing: expected a folder"):
        from_huggingface(tmp_path)
    with pytest.raises(ValueError, match="from the Hub: hf download NAME --local-dir FOLDER"):
        from_huggingface("bert-base-uncased")
    with pytest.raises(ValueError, match="expected a folder or a model of transformers, not int"):
        from_huggingface(7)
    with pytest.raises(ValueError, match="a folder or a model of transformers, not BertConfig"):
        from_huggingface(BertConfig())
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
    """With norms named gamma and beta, names without a prefix, and buffers."""

    def old_bert(tensors):
        renamed = tensors
        for new, old in (("weight", "gamma"), ("bias", "beta")):
            renamed = {
                k.replace(f"LayerNorm.{new}", f"LayerNorm.{old}"): v for k, v in renamed.items()
            }
        return renamed | {"bert.embeddings.position_ids": torch.arange(17)[None]}

    def old_llama(tensors):
        frequencies = 1 / 50.0 ** (torch.arange(0, 6, 2) / 6)
        return tensors | {
            f"model.layers.{i}.self_attn.rotary_emb.inv_freq": frequencies.half() for i in range(2)
        }

    def old_gpt2(tensors):
        mask = torch.ones(17, 17).tril()[None, None]
        buffers = {f"h.{i}.attn.bias": mask.clone() for i in range(2)}
        buffers |= {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
        return {k.removeprefix("transformer."): v for k, v in tensors.items()} | buffers

    pooler = {"pooler_type": "first_token_transform", "pooler_fc_size": 768,
              "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3,
              "pooler_size_per_head": 128, "directionality": "bidi"}  # fmt: skip
    old_rope = {"rope_parameters": None, "rope_theta": 50.0, "rope_interleaved": False,
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "is_llama_config": True}  # fmt: skip
    new = {"rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0}}
    for make, kind, config, tensors in (
        (BERT, BertForMaskedLM, pooler, old_bert),
        (GPT2, GPT2LMHeadModel, {"n_ctx": 17, "torch_dtype": "float32"}, old_gpt2),
        (llama(**new), LlamaForCausalLM, old_rope, old_llama),
    ):
        saved = folder(make)
        expected = kind.from_pretrained(saved).eval()
        ours = from_huggingface(saved)
        values = json.loads((saved / "config.json").read_text()) | config
        (saved / "config.json").write_text(json.dumps(values))
        old = tensors(load_file(saved / "model.safetensors"))
        save_file(old, saved / "model.safetensors", {"format": "pt"})
        for parameter, again in zip(
            ours.parameters(), from_huggingface(saved).parameters(), strict=True
        ):
            assert torch.equal(parameter, again)
        same(saved, expected)


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (GPT2, "transformer.h.0.attn.bias", torch.ones(1, 1, 17, 17)),
        (GPT2, "transformer.h.0.attn.bias", torch.ones(1, 1, 4, 4).tril()),
        (BERT, "bert.embeddings.position_ids", torch.arange(9)[None]),
        (LLAMA, "model.layers.1.self_attn.rotary_emb.inv_freq", torch.ones(3)),
    ],
)
def test_a_buffer_with_values_of_its_own_is_refused(folder, make, name, values):
    with pytest.raises(ValueError, match=f"{name}: this buffer has unusual values"):
        from_huggingface(folder(make, tensors=lambda tensors: tensors | {name: values}))


def test_a_buffer_of_a_block_that_is_not_there_is_refused(folder):
    mask = {"transformer.h.7.attn.bias": torch.ones(1, 1, 17, 17).tril()}
    with pytest.raises(ValueError, match="n_layer: 2 is not supported; the weights have 3 blocks"):
        from_huggingface(folder(GPT2, tensors=lambda tensors: tensors | mask))


def test_numbers_that_are_not_floating_point_are_refused(folder):
    saved = folder(LLAMA, tensors=lambda tensors: {k: t.char() for k, t in tensors.items()})
    with pytest.raises(ValueError, match=r"weight: expected floating-point .*torch\.int8"):
        from_huggingface(saved)
    name = "vit.embeddings.position_embeddings"
    saved = folder(VIT, tensors=lambda tensors: tensors | {name: tensors[name].char()})
    for size, message in ((None, f"{name}: expected floating"), (22, "positions: torch.int8")):
        with pytest.raises(ValueError, match=message):
            from_huggingface(saved, image_size=size)


@pytest.mark.parametrize(
    ("make", "kind", "config", "original", "copy"),
    [
        (
            llama(tie_word_embeddings=True), LlamaForCausalLM, {},
            "model.embed_tokens.weight", "lm_head.weight",
        ),
        (GPT2, GPT2LMHeadModel, {}, "transformer.wte.weight", "lm_head.weight"),
        (BERT, BertForMaskedLM, {}, "cls.predictions.bias", "cls.predictions.decoder.bias"),
    ],
)  # fmt: skip
def test_a_tied_weight_is_found_under_either_name(folder, make, kind, config, original, copy):
    saved = folder(make, tensors=lambda t: {copy if k == original else k: v for k, v in t.items()})
    same(saved, kind.from_pretrained(saved).eval())


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
    with pytest.raises(ValueError, match=r"the model does not have: bert\.pooler\.dense\.weight"):
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
    files = sorted(saved.glob("*.safetensors"))
    assert len(files) > 1
    same(saved, model)
    twice = next(iter(load_file(files[0])))
    save_file(load_file(files[1]) | {twice: torch.zeros(1)}, files[1])
    with pytest.raises(ValueError, match=f"{files[1]}: {twice} is also in another file"):
        from_huggingface(saved)
    index = saved / "model.safetensors.index.json"
    for text in ("{}", '{"weight_map": 5}', '{"weight_map": {}}', '{"weight_map": {"a": "../b"}}'):
        index.write_text(text)
        with pytest.raises(ValueError, match=f"{index}: weight_map: expected names of tensors"):
            from_huggingface(saved)
    index.write_text("nothing of the kind")
    with pytest.raises(ValueError, match=f"{index}: not JSON"):
        from_huggingface(saved)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_model_as_an_object_is_the_same_as_its_folder(case):
    theirs = case.make()
    ours = from_huggingface(theirs)
    if "interpolated" not in case.source:
        for name, parameter in case.convert(theirs).named_parameters():
            assert torch.equal(parameter, ours.get_parameter(name)), name


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 50.0},
        {"rope_scaling": {}},
        {"rope_theta": 50.0},
        {"rope_theta": 50.0, "rope_parameters": {"rope_type": "linear", "factor": 2.0}},
        {"rope_theta": 50.0, "rope_parameters": None},
    ],
)
def test_of_two_sections_on_rotary_positions_the_same_counts_as_there(folder, changes):
    saved = folder(LLAMA, config=changes)
    same(saved, LlamaForCausalLM.from_pretrained(saved).eval())


@pytest.mark.parametrize("changes", [{}, {"num_labels": 2}, {"id2label": None}])
def test_two_classes_need_no_names(folder, changes):
    saved = folder(vit(ViTForImageClassification, num_labels=2))
    values = json.loads((saved / "config.json").read_text())
    assert "id2label" not in values
    (saved / "config.json").write_text(json.dumps(values | changes))
    images = torch.randn(2, 3, 13, 13)
    expected = ViTForImageClassification.from_pretrained(saved).eval()(images).logits
    torch.testing.assert_close(from_huggingface(saved)(images), expected)
    assert labels(Config(values | changes, "config.json")) == ["LABEL_0", "LABEL_1"]


def test_a_count_of_classes_without_names(folder):
    saved = folder(VIT)
    values = json.loads((saved / "config.json").read_text())
    assert labels(Config(values, "config.json")) == [f"LABEL_{i}" for i in range(7)]
    del values["id2label"], values["label2id"]
    (saved / "config.json").write_text(json.dumps(values | {"num_labels": 7}))
    images = torch.randn(2, 3, 13, 13)
    expected = ViTForImageClassification.from_pretrained(saved).eval()(images).logits
    torch.testing.assert_close(from_huggingface(saved)(images), expected)
