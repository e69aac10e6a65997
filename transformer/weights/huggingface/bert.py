"""BertModel, BertForMaskedLM, and MegatronBertForMaskedLM: BERT with pre-norm blocks (Shoeybi et
al. 2019, "Megatron-LM", section 5.4)."""

from typing import Any

import torch
from torch import Tensor, nn

from transformer.attention import SelfAttention
from transformer.embeddings import TokenEmbedding
from transformer.heads import HiddenStates, MaskedLanguageModelHead, Pooler, PredictionTransform
from transformer.layers import MLP, PostNormBlock, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Bidirectional
from transformer.positions import LearnedPositions
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection
from transformer.weights.huggingface.tensors import (
    is_range,
    with_prefix,
    without_constants,
    without_copies,
)
from transformer.weights.links import Link, in_blocks

ARCHITECTURES = {
    "bert": ("BertForMaskedLM", "BertModel"),
    "megatron-bert": ("MegatronBertForMaskedLM",),
}
MODEL_TYPES = {PostNormBlock: "bert", PreNormBlock: "megatron-bert"}
LAYERS = "bert.encoder.layer."
BLOCK = (
    Link(
        "attention.qkv",
        tuple(f"attention.self.{part}" for part in ("query", "key", "value")),
        keys="hidden_size",
    ),
    Link("attention.out", "attention.output.dense", keys="hidden_size"),
    Link("mlp.up", "intermediate.dense", keys="hidden_size, intermediate_size"),
    Link("mlp.down", "output.dense", keys="hidden_size, intermediate_size"),
)
NORMS = {
    PostNormBlock: (
        Link("attention_norm", "attention.output.LayerNorm", keys="hidden_size"),
        Link("mlp_norm", "output.LayerNorm", keys="hidden_size"),
    ),
    PreNormBlock: (
        Link("attention_norm", "attention.ln", keys="hidden_size"),
        Link("mlp_norm", "ln", keys="hidden_size"),
    ),
}
WORDS = "bert.embeddings.word_embeddings.weight"
# Without weight tying, transformers also stores this bias, but does not use it.
UNUSED_BIAS = "cls.predictions.bias"
TYPES = "bert.embeddings.token_type_embeddings.weight"


def clean(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors under current names, each parameter once, with the prefix of a full model."""
    tensors = with_prefix(tensors, "bert.")
    for old, new in (("gamma", "weight"), ("beta", "bias")):
        tensors = {
            name.replace(f"LayerNorm.{old}", f"LayerNorm.{new}"): tensor
            for name, tensor in tensors.items()
        }
    length = config.count("max_position_embeddings", 512)
    tensors = without_constants(tensors, {"bert.embeddings.position_ids": is_range(length)})
    if _has_no_types(tensors, config):
        tensors = {name: tensor for name, tensor in tensors.items() if name != TYPES}
    if config.flag("tie_word_embeddings", True):
        bias = "cls.predictions.bias"
        copies = {"cls.predictions.decoder.weight": WORDS, "cls.predictions.decoder.bias": bias}
        return without_copies(tensors, copies)
    return {name: tensor for name, tensor in tensors.items() if name != UNUSED_BIAS}


def build(config: Config, architecture: str, tensors: dict[str, Tensor]) -> Transformer:
    """The model that `config` describes, before its weights are loaded."""
    d_model, d_mlp = config.count("hidden_size"), config.count("intermediate_size")
    n_head = config.heads("num_attention_heads", d_model)
    eps = config.positive("layer_norm_eps", 1e-12)
    dropout = config.dropout("hidden_dropout_prob", 0.1)
    attention_dropout = config.dropout("attention_probs_dropout_prob", 0.1)
    vocabulary_size = config.count("vocab_size")

    def norm() -> nn.Module:
        return nn.LayerNorm(d_model, eps)

    def activation() -> nn.Module:
        return config.activation("hidden_act", "gelu")

    pre = architecture == "MegatronBertForMaskedLM"
    kind = PreNormBlock if pre else PostNormBlock
    embedding = TokenEmbedding(
        vocabulary_size,
        d_model,
        LearnedPositions(config.count("max_position_embeddings", 512), d_model),
        nn.Identity() if pre else norm(),
        dropout,
        token_types=config.count("type_vocab_size", 2) if TYPES in tensors else 0,
        padding_id=config.padding(vocabulary_size, 0),
    )
    blocks = [
        kind(
            SelfAttention(d_model, n_head, attention_dropout),
            MLP(d_model, d_mlp, activation()),
            norm(),
            norm(),
            dropout,
        )
        for _ in range(config.layers("num_hidden_layers", tensors, LAYERS))
    ]
    head: nn.Module
    if architecture != "BertModel":
        decoder = nn.Linear(d_model, vocabulary_size)
        if config.flag("tie_word_embeddings", True):
            decoder.weight = embedding.weight
        transform = PredictionTransform(d_model, activation(), norm())
        head = MaskedLanguageModelHead(decoder, transform)
    elif "bert.pooler.dense.weight" in tensors:
        head = Pooler(d_model, d_model, nn.Tanh())
    else:
        head = HiddenStates()
    return Transformer(embedding, blocks, norm() if pre else nn.Identity(), head, Bidirectional())


def _has_no_types(tensors: dict[str, Tensor], config: Config) -> bool:
    """Whether the only token type is all zeros, as `describe` writes it for a model without token
    types. A real one is not zero after a step of training.

    Raises:
        ValueError: the token types are missing.
    """
    if TYPES not in tensors:
        raise ValueError(f"missing tensors: {TYPES} (see type_vocab_size)")
    return config.count("type_vocab_size", 2) == 1 and not tensors[TYPES].any()


def links(model: Transformer) -> list[Link]:
    """The name of each parameter in their files."""
    embeddings, kind = "bert.embeddings", type(model.blocks[0])
    words, width = "vocab_size, hidden_size", "hidden_size"
    lengths, types = "max_position_embeddings, hidden_size", "type_vocab_size, hidden_size"
    pairs = [
        *in_blocks(BLOCK + NORMS[kind], LAYERS, len(model.blocks)),
        Link("embedding.tokens", f"{embeddings}.word_embeddings", keys=words),
        Link("embedding.token_types", f"{embeddings}.token_type_embeddings", keys=types),
        Link("embedding.positions", f"{embeddings}.position_embeddings", keys=lengths),
        Link("embedding.norm", f"{embeddings}.LayerNorm", keys=width),
        Link("norm", "bert.encoder.ln", keys=width),
        Link("head.dense", "bert.pooler.dense", keys=width),
        Link("head.transform.0", "cls.predictions.transform.dense", keys=width),
        Link("head.transform.2", "cls.predictions.transform.LayerNorm", keys=width),
    ]
    if isinstance(model.head, MaskedLanguageModelHead):
        tied = model.head.decoder.weight is model.embedding.weight
        bias = "cls.predictions.bias" if tied else "cls.predictions.decoder.bias"
        words = f"{words}, tie_word_embeddings"
        pairs.append(Link("head.decoder.bias", bias, keys=words))
        if not tied:
            pairs.append(Link("head.decoder.weight", "cls.predictions.decoder.weight", keys=words))
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json for `model` as a BERT, and tensors that only theirs has.

    A model without token types gets one, of zeros. It changes no output, but training there
    changes it; `token_type_embeddings.requires_grad_(False)` prevents that.

    Raises:
        ValueError: BERT does not support a part of the model; the message names all of them.
    """
    kind = type(model.blocks[0])
    model_type = MODEL_TYPES.get(kind, "bert")
    architecture = ARCHITECTURES[model_type][0]
    found = Inspection(architecture)
    block = kind if kind in MODEL_TYPES else PostNormBlock
    body = found.body(model, TokenEmbedding, block, SelfAttention, MLP, nn.LayerNorm, Bidirectional)
    embedding, transform = model.embedding, model.head.transform
    right = type(transform) is PredictionTransform and type(transform[0]) is nn.Linear
    found.require(right, "prediction_transform: a head without its matrix and norm")
    if right:
        alike = found.activation(transform[1]) == body.activation
        norm, last = transform[2], model.blocks[-1].mlp_norm
        alike = alike and type(norm) is type(last) and norm.eps == last.eps
        found.require(alike, "a head with another activation or norm than the blocks")
    found.learned_positions(embedding.positions)
    found.unscaled(model, body)
    same = embedding.dropout.p == body.dropout
    found.require(same, "dropout: different in embedding and blocks")
    matrices = [b for b in model.modules() if isinstance(b, nn.Linear)]
    found.biases([*matrices, *found.norms(model)], True, "bias: parts without one")
    found.finish()
    config = {
        "model_type": model_type,
        "architectures": [architecture],
        "vocab_size": embedding.weight.shape[0],
        "hidden_size": embedding.weight.shape[1],
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": body.n_head,
        "intermediate_size": body.d_mlp,
        "hidden_act": body.activation,
        "hidden_dropout_prob": body.dropout,
        "attention_probs_dropout_prob": body.attention_dropout,
        "max_position_embeddings": embedding.positions.num_embeddings,
        "type_vocab_size": 1 if embedding.token_types is None
        else embedding.token_types.num_embeddings,
        "layer_norm_eps": body.eps,
        "pad_token_id": embedding.tokens.padding_idx,
        "tie_word_embeddings": model.head.decoder.weight is embedding.weight,
    }  # fmt: skip
    extra = {}
    if embedding.token_types is None:  # theirs always adds one: add zeros
        extra[TYPES] = torch.zeros(1, config["hidden_size"])
    if not config["tie_word_embeddings"]:
        extra[UNUSED_BIAS] = torch.zeros(config["vocab_size"])
    return config, extra
