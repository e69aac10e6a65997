"""LlamaForCausalLM."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from transformer.attention import Attention, GroupedQueryAttention, SelfAttention
from transformer.embeddings import TokenEmbedding
from transformer.heads import LanguageModelHead
from transformer.layers import GatedMLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Causal
from transformer.positions import NoPositions, Rotary
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection
from transformer.weights.huggingface.tensors import without_copies
from transformer.weights.links import Link

ARCHITECTURES = ("LlamaForCausalLM",)


def clean(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors, each parameter once."""
    if config.take("tie_word_embeddings", False):
        return without_copies(tensors, {"lm_head.weight": "model.embed_tokens.weight"})
    return tensors


def build(config: Config, architecture: str, tensors: dict[str, Tensor]) -> Transformer:
    """The model that `config` describes, its weights still to be filled."""
    d_model, n_head = config.take("hidden_size"), config.take("num_attention_heads")
    n_kv_head = config.take("num_key_value_heads", None) or n_head
    d_head = config.take("head_dim", None) or d_model // n_head
    eps, d_mlp = config.take("rms_norm_eps", 1e-6), config.take("intermediate_size")
    dropout = config.take("attention_dropout", 0.0)
    bias, mlp_bias = config.take("attention_bias", False), config.take("mlp_bias", False)
    vocabulary_size = config.take("vocab_size")
    rotary = _rotary(config, config.take("max_position_embeddings", 2048), d_head)

    def norm() -> nn.Module:
        return nn.RMSNorm(d_model, eps)

    def attention() -> Attention:
        if n_kv_head == n_head and d_head * n_head == d_model:
            return SelfAttention(
                d_model, n_head, dropout, rotation=rotary, bias=bias, out_bias=bias
            )
        return GroupedQueryAttention(
            d_model, n_head, n_kv_head, d_head, dropout, rotation=rotary, bias=bias, out_bias=bias
        )

    padding_id = config.take("pad_token_id", None)
    embedding = TokenEmbedding(
        vocabulary_size, d_model, NoPositions(), nn.Identity(), 0.0, padding_id=padding_id
    )
    blocks = [
        PreNormBlock(
            attention(),
            GatedMLP(d_model, d_mlp, config.activation("hidden_act", "silu"), mlp_bias),
            norm(),
            norm(),
            dropout=0.0,
        )
        for _ in range(config.take("num_hidden_layers"))
    ]
    decoder = nn.Linear(d_model, vocabulary_size, bias=False)
    if config.take("tie_word_embeddings", False):
        decoder.weight = embedding.weight
    return Transformer(embedding, blocks, norm(), LanguageModelHead(decoder), Causal())


def _rotary(config: Config, length: int, d_head: int) -> Rotary:
    """Rotary positions as transformers writes them: in one section today, in two keys before."""
    section = config.take("rope_parameters", None)
    theta, scaling = config.take("rope_theta", 10_000.0), config.take("rope_scaling", None)
    key = "rope_parameters" if section is not None else "rope_scaling"
    given = dict(section if section is not None else scaling or {})
    theta = given.pop("rope_theta", theta)
    kind = given.pop("rope_type", given.pop("type", "default"))
    given.pop("type", None)
    if given.pop("partial_rotary_factor", 1.0) != 1.0:
        raise config.refusal(key, "a partial_rotary_factor other than 1 is not")
    if kind not in SCALINGS:
        raise config.refusal(key, f"known rope_types are {', '.join(SCALINGS)}")
    try:
        return Rotary(length, d_head, theta, SCALINGS[kind](**given))
    except TypeError as error:
        plainly = str(error).replace(f"{SCALINGS[kind].__name__}()", f"rope_type {kind}")
        raise config.refusal(key, plainly) from None


def _unscaled() -> None:
    return None


def _linear(factor: float) -> Callable[[Tensor], Tensor]:
    """Positions closer together (Chen et al. 2023, "Extending Context Window of Large Language
    Models via Positional Interpolation")."""
    return lambda frequencies: frequencies / factor


def _llama3(
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_max_position_embeddings: int,
) -> Callable[[Tensor], Tensor]:
    """Only slow rotations are slowed down, with a smooth passage (Llama 3.1's own)."""

    def scale(frequencies: Tensor) -> Tensor:
        turns = original_max_position_embeddings * frequencies / (2 * math.pi)
        kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
        kept = kept.clamp(0, 1)  # 1 where a context has many turns, 0 where it has few
        return frequencies * (kept + (1 - kept) / factor)

    return scale


SCALINGS = {"default": _unscaled, "linear": _linear, "llama3": _llama3}


def links(model: Transformer) -> list[Link]:
    """Where each parameter stands in their files."""
    pairs = [Link("embedding.tokens", "model.embed_tokens"), Link("norm", "model.norm")]
    if model.head.decoder.weight is not model.embedding.weight:
        pairs.append(Link("head.decoder", "lm_head"))
    for i in range(len(model.blocks)):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        q, k, v = (f"{theirs}.self_attn.{part}_proj" for part in "qkv")
        pairs += [
            Link(f"{ours}.attention_norm", f"{theirs}.input_layernorm"),
            Link(f"{ours}.attention.qkv", (q, k, v)),
            Link(f"{ours}.attention.q", q),
            Link(f"{ours}.attention.kv", (k, v)),
            Link(f"{ours}.attention.out", f"{theirs}.self_attn.o_proj"),
            Link(f"{ours}.mlp_norm", f"{theirs}.post_attention_layernorm"),
            Link(f"{ours}.mlp.gate", f"{theirs}.mlp.gate_proj"),
            Link(f"{ours}.mlp.up", f"{theirs}.mlp.up_proj"),
            Link(f"{ours}.mlp.down", f"{theirs}.mlp.down_proj"),
        ]
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json of a LlamaForCausalLM that is `model`, and no further tensors.

    Raises:
        ValueError: LlamaForCausalLM cannot express a part of the model; all of them are named.
    """
    found = Inspection("LlamaForCausalLM")
    kinds = (SelfAttention, GroupedQueryAttention)
    found.body(model, PreNormBlock, kinds, GatedMLP, nn.RMSNorm, rotary=True)
    embedding, block = model.embedding, model.blocks[0]
    attention, rotary = block.attention, block.attention.rotation
    found.require(embedding.dropout.p == block.dropout.p == 0.0, "dropout outside of attention")
    found.require(rotary.scaling is None, "scaled rotary frequencies")
    inside = [m for b in model.blocks for m in b.attention.modules() if isinstance(m, nn.Linear)]
    bias = attention.out.bias is not None
    found.biases(inside, bias, "bias: in some of attention's matrices only")
    mlp_bias = block.mlp.up.bias is not None
    matrices = [m for b in model.blocks for m in b.mlp.modules() if isinstance(m, nn.Linear)]
    found.biases(matrices, mlp_bias, "bias: in some of the MLP's matrices only")
    found.biases([model.head.decoder], False, "a head with a bias")
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": embedding.weight.shape[0],
        "hidden_size": embedding.weight.shape[1],
        "intermediate_size": block.mlp.up.out_features,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": attention.n_head,
        "num_key_value_heads": getattr(attention, "n_kv_head", attention.n_head),
        "head_dim": attention.out.in_features // attention.n_head,
        "hidden_act": found.activation(model),
        "max_position_embeddings": len(rotary.sine),
        "rms_norm_eps": found.eps(model),
        "rope_parameters": {"rope_type": "default", "rope_theta": rotary.theta},
        "attention_bias": bias,
        "attention_dropout": attention.dropout,
        "mlp_bias": mlp_bias,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": embedding.tokens.padding_idx,
        "tie_word_embeddings": model.head.decoder.weight is embedding.weight,
    }
    found.finish()
    return config, {}
