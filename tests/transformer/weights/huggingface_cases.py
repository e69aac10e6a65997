"""Tiny random models of transformers with odd sizes and many configurations."""

import tempfile
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import (
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MegatronBertForMaskedLM,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)
from transformers.utils import logging

from tests.transformer.weights.parity import Call, Case
from transformer.weights import from_huggingface

logging.set_verbosity_error()
logging.disable_progress_bar()

VOCABULARY, LENGTH = 53, 17
SHAPES = [(1, LENGTH), (3, 5), (2, 1)]


def convert(model: nn.Module, **options) -> nn.Module:
    """Convert a saved model, as users do."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return from_huggingface(folder, **options)


def tokens(shape: tuple[int, int]) -> Tensor:
    return torch.randint(VOCABULARY, shape)


def mask(shape: tuple[int, int], left: bool = False) -> Tensor:
    """False at padding: a different number of real tokens in each row, at least one."""
    lengths = torch.arange(shape[1], shape[1] - shape[0], -1).clamp(min=1)
    real = torch.arange(shape[1]) < lengths[:, None]
    return real.flip(1) if left else real


def bert_calls(output: Callable, output_ours: Callable = lambda model: model) -> Callable:
    """Without token types and padding, with token types, and with both."""

    def calls(theirs: nn.Module) -> list[Call]:
        made = []
        for shape in SHAPES:
            ids, real = tokens(shape), mask(shape)
            types = torch.randint(theirs.config.type_vocab_size, shape)
            places = torch.randint(LENGTH, shape)
            given = {
                "": {},
                ", token types": {"token_type_ids": types},
                ", token types, padding": {"token_type_ids": types, "attention_mask": real},
                ", positions": {"position_ids": places},
            }
            made += [
                Call(
                    f"{shape[0]} x {shape[1]}{words}",
                    lambda m, ids=ids, extra=extra: output_ours(m)(ids, **extra),
                    lambda m, ids=ids, extra=extra: output(m(ids, **extra)),
                )
                for words, extra in given.items()
            ]
        return made

    return calls


def causal_calls(theirs: nn.Module) -> list[Call]:
    """Without padding, with padding on the right, and on the left with matching positions."""
    made = []
    for shape in SHAPES:
        ids = tokens(shape)
        plain = (f"{shape[0]} x {shape[1]}", None, {})
        behind = (plain[0] + ", padding", mask(shape), {})
        front = mask(shape, left=True)
        places = {"position_ids": (front.cumsum(1) - 1).clamp(min=0)}
        cases = (plain, behind, (plain[0] + ", padding in front", front, places))
        for words, real, extra in cases:
            given = extra if real is None else extra | {"attention_mask": real}
            made.append(
                Call(
                    words,
                    lambda m, ids=ids, given=given: m(ids, **given),
                    lambda m, ids=ids, given=given: m(ids, **given).logits,
                    real,
                )
            )
    return made


def vit_calls(
    output: Callable, output_ours: Callable = lambda model: model, size=None, **options
) -> Callable:
    def calls(theirs: nn.Module) -> list[Call]:
        given = size or theirs.config.image_size
        height, width = (given, given) if isinstance(given, int) else given
        made = []
        for batch in (1, 3):
            images = torch.randn(batch, theirs.config.num_channels, height, width)
            made.append(
                Call(
                    f"{batch} x {images.shape[1]} x {height} x {width}",
                    lambda m, images=images: output_ours(m)(images),
                    lambda m, images=images: output(m(images, **options)),
                )
            )
        return made

    return calls


def bert(kind: type, **changes) -> Callable:
    head = {k: changes.pop(k) for k in ("add_pooling_layer",) if k in changes}
    config = {
        "vocab_size": VOCABULARY, "hidden_size": 30, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 41, "max_position_embeddings": LENGTH,
    }  # fmt: skip
    return lambda: kind(kind.config_class(**config | changes), **head)


def gpt2(**changes) -> Callable:
    config = {"vocab_size": VOCABULARY, "n_embd": 30, "n_layer": 2, "n_head": 3,
              "n_positions": LENGTH, "bos_token_id": None, "eos_token_id": None}  # fmt: skip
    return lambda: GPT2LMHeadModel(GPT2Config(**config | changes))


def llama(**changes) -> Callable:
    config = {
        "vocab_size": VOCABULARY, "hidden_size": 36, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 41,
        "max_position_embeddings": LENGTH,
    }  # fmt: skip
    return lambda: LlamaForCausalLM(LlamaConfig(**config | changes))


def vit(kind: type, **changes) -> Callable:
    head = {k: changes.pop(k) for k in ("add_pooling_layer",) if k in changes}
    config = {
        "hidden_size": 30, "num_hidden_layers": 2, "num_attention_heads": 3,
        "intermediate_size": 41, "image_size": 13, "patch_size": 3, "num_labels": 7,
    }  # fmt: skip
    return lambda: kind(ViTConfig(**config | changes), **head)


def logits(output):
    return output.logits


def hidden(output):
    return output.last_hidden_state


def pooled(output):
    # Both outputs, so that every parameter has a gradient.
    return torch.cat((output.last_hidden_state.flatten(1), output.pooler_output), 1)


def pooled_ours(model):
    def output(*inputs, **given):
        states = model.encode(*inputs, **given)
        return torch.cat((states.flatten(1), model.head(states)), 1)

    return output


def encoded(model):
    return model.encode


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8,
}  # fmt: skip
MLM = "BertForMaskedLM"
VIT = "ViTForImageClassification"


def case(family: str, variant: str, make: Callable, calls: Callable, **options) -> Case:
    source = f"transformers, {variant}" if variant else "transformers"
    return Case(family, source, make, lambda model: convert(model), calls, **options)


CASES = [
    case(MLM, "", bert(BertForMaskedLM), bert_calls(logits)),
    case(MLM, "untied", bert(BertForMaskedLM, tie_word_embeddings=False), bert_calls(logits)),
    case(
        MLM, "gelu_new, eps 0.01, one token type, no padding token",
        bert(BertForMaskedLM, hidden_act="gelu_new", layer_norm_eps=1e-2, type_vocab_size=1,
             pad_token_id=None),
        bert_calls(logits),
    ),
    case(MLM, "relu, 3 token types", bert(BertForMaskedLM, hidden_act="relu", type_vocab_size=3),
         bert_calls(logits)),
    case("MegatronBertForMaskedLM", "", bert(MegatronBertForMaskedLM), bert_calls(logits)),
    case("MegatronBertForMaskedLM", "untied, relu",
         bert(MegatronBertForMaskedLM, tie_word_embeddings=False, hidden_act="relu"),
         bert_calls(logits)),
    case("BertModel", "", bert(BertModel), bert_calls(pooled, pooled_ours)),
    case("BertModel", "no pooler", bert(BertModel, add_pooling_layer=False), bert_calls(hidden)),
    case("GPT2LMHeadModel", "", gpt2(), causal_calls),
    case("GPT2LMHeadModel", "untied, n_inner, relu",
         gpt2(tie_word_embeddings=False, n_inner=41, activation_function="relu"), causal_calls),
    case("GPT2LMHeadModel", "unscaled attention, eps 0.01",
         gpt2(scale_attn_weights=False, layer_norm_epsilon=1e-2), causal_calls),
    case("GPT2LMHeadModel", "attention scaled by depth",
         gpt2(scale_attn_by_inverse_layer_idx=True), causal_calls),
    case("LlamaForCausalLM", "grouped queries", llama(), causal_calls),
    case("LlamaForCausalLM", "a head of keys for each, tied, padding token",
         llama(num_key_value_heads=6, tie_word_embeddings=True, pad_token_id=0), causal_calls),
    case("LlamaForCausalLM", "one head of keys, wider heads, biases, gelu",
         llama(num_key_value_heads=1, head_dim=10, attention_bias=True, mlp_bias=True,
               hidden_act="gelu"), causal_calls),
    case("LlamaForCausalLM", "rope_theta 50, linear scaling, eps 0.01",
         llama(rope_parameters={"rope_type": "linear", "rope_theta": 50.0, "factor": 3.0},
               rms_norm_eps=1e-2), causal_calls),
    case("LlamaForCausalLM", "Llama 3's scaling", llama(rope_parameters=LLAMA3), causal_calls),
    case(VIT, "", vit(ViTForImageClassification), vit_calls(logits)),
    case(VIT, "no qkv bias, gelu_pytorch_tanh, one channel",
         vit(ViTForImageClassification, qkv_bias=False, hidden_act="gelu_pytorch_tanh",
             num_channels=1), vit_calls(logits)),
    case(VIT, "images and patches that are not square",
         vit(ViTForImageClassification, image_size=[9, 17], patch_size=[3, 4]), vit_calls(logits)),
    case("ViTModel", "", vit(ViTModel, pooler_output_size=11, pooler_act="relu"),
         vit_calls(pooled, pooled_ours)),
    case("ViTModel", "no pooler", vit(ViTModel, add_pooling_layer=False), vit_calls(hidden)),
    Case(
        VIT, "transformers, interpolated positions", vit(ViTForImageClassification),
        lambda model: convert(model, image_size=(22, 10)),
        vit_calls(logits, size=(22, 10), interpolate_pos_encoding=True),
        gradients=False,  # theirs belong to the table before interpolation
    ),
]  # fmt: skip
