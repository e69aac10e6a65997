"""BertModel and BertForMaskedLM, and MegatronBertForMaskedLM, which is BERT with the norms before
the sublayers (Shoeybi et al. 2019, "Megatron-LM", section 5.4)."""

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
from transformer.weights.huggingface.tensors import is_range, without_constants, without_copies
from transformer.weights.links import Link

ARCHITECTURES = ("BertModel", "BertForMaskedLM", "MegatronBertForMaskedLM")
MASKED = {PostNormBlock: "BertForMaskedLM", PreNormBlock: "MegatronBertForMaskedLM"}
MODEL_TYPES = {"BertForMaskedLM": "bert", "MegatronBertForMaskedLM": "megatron-bert"}
WORDS = "bert.embeddings.word_embeddings.weight"
# Untied, transformers keeps this one too, but its head never adds it.
UNUSED_BIAS = "cls.predictions.bias"
TYPES = "bert.embeddings.token_type_embeddings.weight"


def clean(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors under today's names, each parameter once, all with the prefix of a whole."""
    if not any(name.startswith("bert.") for name in tensors):
        tensors = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    for old, new in (("gamma", "weight"), ("beta", "bias")):
        tensors = {
            name.replace(f"LayerNorm.{old}", f"LayerNorm.{new}"): tensor
            for name, tensor in tensors.items()
        }
    tensors = without_constants(tensors, {"embeddings.position_ids": is_range})
    if config.take("tie_word_embeddings", True):
        bias = "cls.predictions.bias"
        copies = {"cls.predictions.decoder.weight": WORDS, "cls.predictions.decoder.bias": bias}
        return without_copies(tensors, copies)
    return {name: tensor for name, tensor in tensors.items() if name != UNUSED_BIAS}


def build(config: Config, architecture: str, tensors: dict[str, Tensor]) -> Transformer:
    """The model that `config` describes, its weights still to be filled."""
    d_model, eps = config.take("hidden_size"), config.take("layer_norm_eps", 1e-12)
    n_head, d_mlp = config.take("num_attention_heads"), config.take("intermediate_size")
    dropout = config.take("hidden_dropout_prob", 0.1)
    attention_dropout = config.take("attention_probs_dropout_prob", 0.1)
    vocabulary_size = config.take("vocab_size")

    def norm() -> nn.Module:
        return nn.LayerNorm(d_model, eps)

    def activation() -> nn.Module:
        return config.activation("hidden_act", "gelu")

    kind = PreNormBlock if architecture == MASKED[PreNormBlock] else PostNormBlock
    pre = kind is PreNormBlock

    embedding = TokenEmbedding(
        vocabulary_size,
        d_model,
        LearnedPositions(config.take("max_position_embeddings", 512), d_model),
        nn.Identity() if pre else norm(),
        dropout,
        token_types=config.take("type_vocab_size", 2),
        padding_id=config.take("pad_token_id", 0),
    )
    blocks = [
        kind(
            SelfAttention(d_model, n_head, attention_dropout),
            MLP(d_model, d_mlp, activation()),
            norm(),
            norm(),
            dropout,
        )
        for _ in range(config.take("num_hidden_layers"))
    ]
    if architecture in MODEL_TYPES:
        decoder = nn.Linear(d_model, vocabulary_size)
        if config.take("tie_word_embeddings", True):
            decoder.weight = embedding.weight
        transform = PredictionTransform(d_model, activation(), norm())
        head = MaskedLanguageModelHead(decoder, transform)
    elif "bert.pooler.dense.weight" in tensors:
        head = Pooler(d_model, d_model, nn.Tanh())
    else:
        head = HiddenStates()
    return Transformer(embedding, blocks, norm() if pre else nn.Identity(), head, Bidirectional())


def links(model: Transformer) -> list[Link]:
    """Where each parameter stands in their files."""
    pre = isinstance(model.blocks[0], PreNormBlock)
    norms = ("attention.ln", "ln") if pre else ("attention.output.LayerNorm", "output.LayerNorm")
    embeddings, pairs = "bert.embeddings", []
    for i in range(len(model.blocks)):
        ours, theirs = f"blocks.{i}", f"bert.encoder.layer.{i}"
        qkv = tuple(f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
        pairs += [
            Link(f"{ours}.attention.qkv", qkv),
            Link(f"{ours}.attention.out", f"{theirs}.attention.output.dense"),
            Link(f"{ours}.attention_norm", f"{theirs}.{norms[0]}"),
            Link(f"{ours}.mlp.up", f"{theirs}.intermediate.dense"),
            Link(f"{ours}.mlp.down", f"{theirs}.output.dense"),
            Link(f"{ours}.mlp_norm", f"{theirs}.{norms[1]}"),
        ]
    pairs += [
        Link("embedding.tokens", f"{embeddings}.word_embeddings"),
        Link("embedding.token_types", f"{embeddings}.token_type_embeddings"),
        Link("embedding.positions", f"{embeddings}.position_embeddings"),
        Link("embedding.norm", f"{embeddings}.LayerNorm"),
        Link("norm", "bert.encoder.ln"),
        Link("head.dense", "bert.pooler.dense"),
        Link("head.transform.0", "cls.predictions.transform.dense"),
        Link("head.transform.2", "cls.predictions.transform.LayerNorm"),
    ]
    if isinstance(model.head, MaskedLanguageModelHead):
        tied = model.head.decoder.weight is model.embedding.weight
        bias = "cls.predictions.bias" if tied else "cls.predictions.decoder.bias"
        pairs.append(Link("head.decoder.bias", bias))
        pairs += [] if tied else [Link("head.decoder.weight", "cls.predictions.decoder.weight")]
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json of the BERT that is `model`, and tensors that ours does not have.

    Raises:
        ValueError: BERT cannot express a part of the model; all of them are named.
    """
    kind = type(model.blocks[0])
    architecture = MASKED.get(kind, "BertForMaskedLM")
    found = Inspection(architecture)
    transform = model.head.transform
    right = isinstance(transform, PredictionTransform)
    found.require(right, "prediction_transform: a head without its matrix and norm")
    found.body(model, kind, SelfAttention, MLP, nn.LayerNorm)
    embedding, attention = model.embedding, model.blocks[0].attention
    found.learned_positions(embedding.positions)
    found.require(embedding.scale == 1.0, "a scale of the embedding")
    matrices = [b for b in model.modules() if isinstance(b, nn.Linear)]
    found.biases([*matrices, *found.norms(model)], True, "bias: parts without one")
    same = type(transform[1]) is type(model.blocks[0].mlp.activation)
    found.require(same and transform[2].eps == found.eps(model), "a head unlike the blocks")
    config = {
        "model_type": MODEL_TYPES[architecture],
        "architectures": [architecture],
        "vocab_size": embedding.weight.shape[0],
        "hidden_size": embedding.weight.shape[1],
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": attention.n_head,
        "intermediate_size": model.blocks[0].mlp.up.out_features,
        "hidden_act": found.activation(model),
        "hidden_dropout_prob": embedding.dropout.p,
        "attention_probs_dropout_prob": attention.dropout,
        "max_position_embeddings": embedding.positions.num_embeddings,
        "type_vocab_size": 1 if embedding.token_types is None
        else embedding.token_types.num_embeddings,
        "layer_norm_eps": found.eps(model),
        "pad_token_id": embedding.tokens.padding_idx,
        "tie_word_embeddings": model.head.decoder.weight is embedding.weight,
    }  # fmt: skip
    found.finish()
    extra = {}
    if embedding.token_types is None:  # theirs always adds one: let it add nothing
        extra[TYPES] = torch.zeros(1, config["hidden_size"])
    if not config["tie_word_embeddings"]:
        extra[UNUSED_BIAS] = torch.zeros(config["vocab_size"])
    return config, extra
