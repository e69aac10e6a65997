"""LlamaForCausalLM."""

from typing import Any

from torch import Tensor, nn

from transformer.attention import Attention, GroupedQueryAttention, SelfAttention
from transformer.embeddings import TokenEmbedding
from transformer.heads import LanguageModelHead
from transformer.layers import GatedMLP, PreNormBlock
from transformer.model import Transformer
from transformer.patterns import Causal
from transformer.positions import NoPositions, Rotary, rotary_frequencies
from transformer.weights.components import is_nothing
from transformer.weights.huggingface import rope
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.inspection import Inspection
from transformer.weights.huggingface.tensors import (
    is_close_to,
    without_constants,
    without_copies,
)
from transformer.weights.links import Link, in_blocks

ARCHITECTURES = {"llama": ("LlamaForCausalLM",)}
LAYERS = "model.layers."
Q, K, V = (f"self_attn.{part}_proj" for part in "qkv")
Q_KEYS = "hidden_size, num_attention_heads, head_dim, attention_bias"
KV_KEYS = "hidden_size, num_key_value_heads, head_dim, attention_bias"
MLP_KEYS = "hidden_size, intermediate_size, mlp_bias"
BLOCK = (
    Link("attention_norm", "input_layernorm", keys="hidden_size"),
    # Either qkv (SelfAttention), or q and kv (GroupedQueryAttention).
    Link("attention.qkv", (Q, K, V), keys=f"{Q_KEYS}, num_key_value_heads"),
    Link("attention.q", Q, keys=Q_KEYS),
    Link("attention.kv", (K, V), keys=KV_KEYS),
    Link("attention.out", "self_attn.o_proj", keys=Q_KEYS),
    Link("mlp_norm", "post_attention_layernorm", keys="hidden_size"),
    Link("mlp.gate", "mlp.gate_proj", keys=MLP_KEYS),
    Link("mlp.up", "mlp.up_proj", keys=MLP_KEYS),
    Link("mlp.down", "mlp.down_proj", keys=MLP_KEYS),
)


def clean(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors, each parameter once."""
    # Older versions stored the frequencies, before any scaling.
    d_head = _d_head(config)
    check = is_close_to(rotary_frequencies(d_head, rope.read(config, 1, d_head).theta))
    layers = range(config.count("num_hidden_layers"))
    constants = {f"{LAYERS}{i}.self_attn.rotary_emb.inv_freq": check for i in layers}
    tensors = without_constants(tensors, constants)
    if config.flag("tie_word_embeddings", False):
        return without_copies(tensors, {"lm_head.weight": "model.embed_tokens.weight"})
    return tensors


def build(config: Config, architecture: str, tensors: dict[str, Tensor]) -> Transformer:
    """The model that `config` describes, before its weights are loaded."""
    d_model, d_mlp = config.count("hidden_size"), config.count("intermediate_size")
    n_head, d_head = config.heads("num_attention_heads", d_model), _d_head(config)
    n_kv_head = config.count("num_key_value_heads", None) or n_head
    if n_head % n_kv_head:
        raise config.refusal("num_key_value_heads", f"expected a divisor of the {n_head} heads")
    eps, dropout = config.positive("rms_norm_eps", 1e-6), config.dropout("attention_dropout", 0.0)
    bias, mlp_bias = config.flag("attention_bias", False), config.flag("mlp_bias", False)
    vocabulary_size = config.count("vocab_size")
    rotary = rope.read(config, config.count("max_position_embeddings", 2048), d_head)

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

    padding_id = config.padding(vocabulary_size, None)
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
        for _ in range(config.layers("num_hidden_layers", tensors, LAYERS))
    ]
    decoder = nn.Linear(d_model, vocabulary_size, bias=False)
    if config.flag("tie_word_embeddings", False):
        decoder.weight = embedding.weight
    return Transformer(embedding, blocks, norm(), LanguageModelHead(decoder), Causal())


def _d_head(config: Config) -> int:
    """Width of a head; even, because rotation works on pairs."""
    d_model = config.count("hidden_size")
    shared = d_model // config.heads("num_attention_heads", d_model)
    d_head = config.count("head_dim", None) or shared
    if d_head % 2:
        raise config.refusal("head_dim", f"rotary positions need an even number, not {d_head}")
    return d_head


def links(model: Transformer) -> list[Link]:
    """The name of each parameter in their files."""
    keys = "vocab_size, hidden_size"
    pairs = [
        Link("embedding.tokens", "model.embed_tokens", keys=keys),
        Link("norm", "model.norm", keys="hidden_size"),
        *in_blocks(BLOCK, LAYERS, len(model.blocks)),
    ]
    if model.head.decoder.weight is not model.embedding.weight:
        pairs.append(Link("head.decoder", "lm_head", keys=f"{keys}, tie_word_embeddings"))
    return pairs


def describe(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json for `model` as a LlamaForCausalLM, and no further tensors.

    Raises:
        ValueError: LlamaForCausalLM does not support a part of the model; the message names all.
    """
    found = Inspection("LlamaForCausalLM")
    kinds = (SelfAttention, GroupedQueryAttention)
    body = found.body(
        model, TokenEmbedding, PreNormBlock, kinds, GatedMLP, nn.RMSNorm, Causal, rotary=True
    )
    embedding, attentions = model.embedding, [block.attention for block in model.blocks]
    positions = type(embedding.positions)
    found.require(positions is NoPositions, f"positions: {positions.__name__}")
    found.require(embedding.token_types is None, "token types")
    found.require(embedding.dropout.p == body.dropout == 0.0, "dropout outside attention")
    found.unscaled(model, body)
    n_kv_head = found.one("n_kv_head", (getattr(a, "n_kv_head", a.n_head) for a in attentions))
    rotaries = [a.rotation for a in attentions if isinstance(a.rotation, Rotary)]
    if rotaries:
        given = ((r.theta, r.scaling, len(r.sine)) for r in rotaries)
        _, scaling, _ = found.one("positions", given)
        found.require(rope.is_known(scaling), "positions: another scaling of frequencies")
    inside = [m for a in attentions for m in a.modules() if isinstance(m, nn.Linear)]
    bias = attentions[0].out.bias is not None
    found.biases(inside, bias, "bias: only in some matrices of attention")
    mlp_bias = model.blocks[0].mlp.up.bias is not None
    matrices = [m for b in model.blocks for m in b.mlp.modules() if isinstance(m, nn.Linear)]
    found.biases(matrices, mlp_bias, "bias: only in some matrices of the MLP")
    found.biases([model.head.decoder], False, "a head with a bias")
    direct = is_nothing(model.head.transform)
    found.require(direct, "prediction_transform: a head with a transform")
    found.finish()
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": embedding.weight.shape[0],
        "hidden_size": embedding.weight.shape[1],
        "intermediate_size": body.d_mlp,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": body.n_head,
        "num_key_value_heads": n_kv_head,
        "head_dim": body.d_head,
        "hidden_act": body.activation,
        "max_position_embeddings": len(rotaries[0].sine),
        "rms_norm_eps": body.eps,
        "rope_parameters": rope.write(rotaries[0]),
        "attention_bias": bias,
        "attention_dropout": body.attention_dropout,
        "mlp_bias": mlp_bias,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": embedding.tokens.padding_idx,
        "tie_word_embeddings": model.head.decoder.weight is embedding.weight,
    }
    return config, {}
