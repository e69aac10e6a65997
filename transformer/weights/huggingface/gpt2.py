"""GPT2LMHeadModel."""

from typing import Any

from torch import Tensor, nn

from transformer.attention import SelfAttention
from transformer.embeddings import TokenEmbedding
from transformer.heads import LanguageModelHead
from transformer.layers import MLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Causal
from transformer.positions import LearnedPositions
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection
from transformer.weights.huggingface.tensors import (
    is_causal_mask,
    is_hiding,
    without_constants,
    without_copies,
)
from transformer.weights.links import Link

ARCHITECTURES = ("GPT2LMHeadModel",)


def clean(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors, each parameter once, all with the prefix of a whole model."""
    if not any(name.startswith("transformer.") for name in tensors):
        tensors = {f"transformer.{name}": tensor for name, tensor in tensors.items()}
    constants = {".attn.bias": is_causal_mask, ".attn.masked_bias": is_hiding}
    tensors = without_constants(tensors, constants)
    if config.take("tie_word_embeddings", True):
        return without_copies(tensors, {"lm_head.weight": "transformer.wte.weight"})
    return tensors


def build(config: Config, architecture: str, tensors: dict[str, Tensor]) -> Transformer:
    """The model that `config` describes, its weights still to be filled."""
    d_model, n_head = config.take("n_embd"), config.take("n_head")
    eps, length = config.take("layer_norm_epsilon", 1e-5), config.take("n_positions", 1024)
    if config.take("n_ctx", length) != length:
        raise config.refusal("n_ctx", f"only that of n_positions is, {length}")
    d_mlp = config.take("n_inner", None) or 4 * d_model
    dropout, attention_dropout = config.take("resid_pdrop", 0.1), config.take("attn_pdrop", 0.1)
    vocabulary_size = config.take("vocab_size")
    scaled = config.take("scale_attn_weights", True)
    by_depth = config.take("scale_attn_by_inverse_layer_idx", False)

    def norm() -> nn.Module:
        return nn.LayerNorm(d_model, eps)

    def attention(layer: int) -> nn.Module:
        scale = (d_model // n_head) ** -0.5 if scaled else 1.0
        scale = scale / (layer + 1) if by_depth else scale
        own = by_depth or not scaled  # else the kernel's own
        return SelfAttention(d_model, n_head, attention_dropout, scale=scale if own else None)

    embedding = TokenEmbedding(
        vocabulary_size,
        d_model,
        LearnedPositions(length, d_model),
        nn.Identity(),
        config.take("embd_pdrop", 0.1),
    )
    blocks = [
        PreNormBlock(
            attention(layer),
            MLP(d_model, d_mlp, config.activation("activation_function", "gelu_new")),
            norm(),
            norm(),
            dropout,
        )
        for layer in range(config.take("n_layer"))
    ]
    config.take("pad_token_id", None)  # GPT-2 trains the vectors of all tokens
    decoder = nn.Linear(d_model, vocabulary_size, bias=False)
    if config.take("tie_word_embeddings", True):
        decoder.weight = embedding.weight
    return Transformer(embedding, blocks, norm(), LanguageModelHead(decoder), Causal())


def links(model: Transformer) -> list[Link]:
    """Where each parameter stands in their files; their matrices are transposed."""
    pairs = [
        Link("embedding.tokens", "transformer.wte"),
        Link("embedding.positions", "transformer.wpe"),
        Link("norm", "transformer.ln_f"),
    ]
    if model.head.decoder.weight is not model.embedding.weight:
        pairs.append(Link("head.decoder", "lm_head"))
    for i in range(len(model.blocks)):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        pairs += [
            Link(f"{ours}.attention_norm", f"{theirs}.ln_1"),
            Link(f"{ours}.attention.qkv", f"{theirs}.attn.c_attn", transposed=True),
            Link(f"{ours}.attention.out", f"{theirs}.attn.c_proj", transposed=True),
            Link(f"{ours}.mlp_norm", f"{theirs}.ln_2"),
            Link(f"{ours}.mlp.up", f"{theirs}.mlp.c_fc", transposed=True),
            Link(f"{ours}.mlp.down", f"{theirs}.mlp.c_proj", transposed=True),
        ]
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json of a GPT2LMHeadModel that is `model`, and no further tensors.

    Raises:
        ValueError: GPT2LMHeadModel cannot express a part of the model; all of them are named.
    """
    found = Inspection("GPT2LMHeadModel")
    found.body(model, PreNormBlock, SelfAttention, MLP, nn.LayerNorm)
    embedding, attention = model.embedding, model.blocks[0].attention
    found.learned_positions(embedding.positions)
    found.require(embedding.scale == 1.0, "a scale of the embedding")
    matrices = [m for m in model.blocks.modules() if isinstance(m, nn.Linear)]
    found.biases([*matrices, *found.norms(model)], True, "bias: parts without one")
    found.biases([model.head.decoder], False, "a head with a bias")
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": embedding.weight.shape[0],
        "n_positions": embedding.positions.num_embeddings,
        "n_embd": embedding.weight.shape[1],
        "n_layer": len(model.blocks),
        "n_head": attention.n_head,
        "n_inner": model.blocks[0].mlp.up.out_features,
        "activation_function": found.activation(model),
        "resid_pdrop": model.blocks[0].dropout.p,
        "embd_pdrop": embedding.dropout.p,
        "attn_pdrop": attention.dropout,
        "layer_norm_epsilon": found.eps(model),
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": model.head.decoder.weight is embedding.weight,
    }
    found.finish()
    return config, {}
