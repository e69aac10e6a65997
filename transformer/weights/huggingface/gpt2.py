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
from transformer.weights.components import is_nothing
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection
from transformer.weights.huggingface.tensors import (
    is_causal_mask,
    is_mask_value,
    with_prefix,
    without_constants,
    without_copies,
)
from transformer.weights.links import Link, in_blocks

ARCHITECTURES = {"gpt2": ("GPT2LMHeadModel",)}
LAYERS = "transformer.h."
BLOCK = (  # their matrices are transposed
    Link("attention_norm", "ln_1", keys="n_embd"),
    Link("attention.qkv", "attn.c_attn", transposed=True, keys="n_embd"),
    Link("attention.out", "attn.c_proj", transposed=True, keys="n_embd"),
    Link("mlp_norm", "ln_2", keys="n_embd"),
    Link("mlp.up", "mlp.c_fc", transposed=True, keys="n_embd, n_inner"),
    Link("mlp.down", "mlp.c_proj", transposed=True, keys="n_embd, n_inner"),
)
# Values of (scale_attn_weights, scale_attn_by_inverse_layer_idx), the usual first.
SCALED = ((True, False), (True, True), (False, False), (False, True))


def clean(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors, each parameter once, with the prefix of a full model."""
    tensors = with_prefix(tensors, "transformer.")
    constants = {}
    for i in range(config.count("n_layer")):
        constants[f"{LAYERS}{i}.attn.bias"] = is_causal_mask(config.count("n_positions", 1024))
        constants[f"{LAYERS}{i}.attn.masked_bias"] = is_mask_value
    tensors = without_constants(tensors, constants)
    if config.flag("tie_word_embeddings", True):
        return without_copies(tensors, {"lm_head.weight": "transformer.wte.weight"})
    return tensors


def build(config: Config, architecture: str, tensors: dict[str, Tensor]) -> Transformer:
    """The model that `config` describes, before its weights are loaded."""
    d_model, length = config.count("n_embd"), config.count("n_positions", 1024)
    n_head, eps = config.heads("n_head", d_model), config.positive("layer_norm_epsilon", 1e-5)
    if config.take("n_ctx", length) != length:
        raise config.refusal("n_ctx", f"expected n_positions, {length}")
    d_mlp = config.count("n_inner", None) or 4 * d_model
    dropout = config.dropout("resid_pdrop", 0.1)
    attention_dropout = config.dropout("attn_pdrop", 0.1)
    vocabulary_size = config.count("vocab_size")
    scaled = config.flag("scale_attn_weights", True)
    by_depth = config.flag("scale_attn_by_inverse_layer_idx", False)
    n_layer = config.layers("n_layer", tensors, LAYERS)
    scales = _scales(n_layer, d_model // n_head, scaled, by_depth)

    def norm() -> nn.Module:
        return nn.LayerNorm(d_model, eps)

    embedding = TokenEmbedding(
        vocabulary_size,
        d_model,
        LearnedPositions(length, d_model),
        nn.Identity(),
        config.dropout("embd_pdrop", 0.1),
    )
    blocks = [
        PreNormBlock(
            SelfAttention(d_model, n_head, attention_dropout, scale=scale),
            MLP(d_model, d_mlp, config.activation("activation_function", "gelu_new")),
            norm(),
            norm(),
            dropout,
        )
        for scale in scales
    ]
    config.take("pad_token_id", None)  # GPT-2 trains the vectors of all tokens
    decoder = nn.Linear(d_model, vocabulary_size, bias=False)
    if config.flag("tie_word_embeddings", True):
        decoder.weight = embedding.weight
    return Transformer(embedding, blocks, norm(), LanguageModelHead(decoder), Causal())


def _scales(n_layer: int, d_head: int, scaled: bool, by_depth: bool) -> list[float]:
    """The factor on the products of queries and keys, for each block.

    scaled: divide by sqrt(d_head). by_depth: also divide by the number of the block, from 1.
    """
    scale = d_head**-0.5 if scaled else 1.0
    return [scale / (layer + 1) if by_depth else scale for layer in range(n_layer)]


def links(model: Transformer) -> list[Link]:
    """The name of each parameter in their files."""
    pairs = [
        Link("embedding.tokens", "transformer.wte", keys="vocab_size, n_embd"),
        Link("embedding.positions", "transformer.wpe", keys="n_positions, n_embd"),
        Link("norm", "transformer.ln_f", keys="n_embd"),
        *in_blocks(BLOCK, LAYERS, len(model.blocks)),
    ]
    if model.head.decoder.weight is not model.embedding.weight:
        keys = "vocab_size, n_embd, tie_word_embeddings"
        pairs.append(Link("head.decoder", "lm_head", keys=keys))
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json for `model` as a GPT2LMHeadModel, and no further tensors.

    Raises:
        ValueError: GPT2LMHeadModel does not support a part of the model; the message names all.
    """
    found = Inspection("GPT2LMHeadModel")
    body = found.body(model, TokenEmbedding, PreNormBlock, SelfAttention, MLP, nn.LayerNorm, Causal)
    embedding = model.embedding
    found.learned_positions(embedding.positions)
    found.require(embedding.token_types is None, "token types")
    found.require(embedding.tokens.padding_idx is None, "a padding token")
    scales = {flags: _scales(len(model.blocks), body.d_head, *flags) for flags in SCALED}
    given = [block.attention.scale or body.d_head**-0.5 for block in model.blocks]
    flags = [flags for flags in SCALED if scales[flags] == given]
    found.require(bool(flags), "another scale of attention")
    matrices = [m for m in model.blocks.modules() if isinstance(m, nn.Linear)]
    found.biases([*matrices, *found.norms(model)], True, "bias: parts without one")
    found.biases([model.head.decoder], False, "a head with a bias")
    direct = is_nothing(model.head.transform)
    found.require(direct, "prediction_transform: a head with a transform")
    found.finish()
    scaled, by_depth = flags[0]
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": embedding.weight.shape[0],
        "n_positions": embedding.positions.num_embeddings,
        "n_embd": embedding.weight.shape[1],
        "n_layer": len(model.blocks),
        "n_head": body.n_head,
        "n_inner": body.d_mlp,
        "activation_function": body.activation,
        "resid_pdrop": body.dropout,
        "embd_pdrop": embedding.dropout.p,
        "attn_pdrop": body.attention_dropout,
        "layer_norm_epsilon": body.eps,
        "scale_attn_weights": scaled,
        "scale_attn_by_inverse_layer_idx": by_depth,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": model.head.decoder.weight is embedding.weight,
    }
    return config, {}
