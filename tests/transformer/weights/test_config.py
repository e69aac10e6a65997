"""config.json of transformers' models: what each setting may be, and how it counts."""

import json

import pytest
import torch
from transformers import (
    BertForMaskedLM,
    LlamaForCausalLM,
    ViTForImageClassification,
)

from tests.transformer.weights.huggingface_cases import VOCABULARY, bert, gpt2, llama, vit
from transformer.weights import from_huggingface
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.vit import labels

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
    ids = torch.randint(VOCABULARY, (2, 9))
    expected = LlamaForCausalLM.from_pretrained(saved).eval()(ids).logits
    torch.testing.assert_close(from_huggingface(saved)(ids), expected)


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


def test_a_count_of_classes_is_enough_without_names(folder):
    saved = folder(VIT)
    values = json.loads((saved / "config.json").read_text())
    assert labels(Config(values, "config.json")) == [f"LABEL_{i}" for i in range(7)]
    del values["id2label"], values["label2id"]
    (saved / "config.json").write_text(json.dumps(values | {"num_labels": 7}))
    images = torch.randn(2, 3, 13, 13)
    expected = ViTForImageClassification.from_pretrained(saved).eval()(images).logits
    torch.testing.assert_close(from_huggingface(saved)(images), expected)
