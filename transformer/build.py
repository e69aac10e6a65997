"""BERT, GPT and ViT: three ways to build the one Transformer."""

import math

from torch import Generator, nn

from transformer.attention import AttentionPattern, Bidirectional, Causal, SelfAttention
from transformer.config import Architecture
from transformer.embeddings import (
    LearnedPositions,
    PatchEmbedding,
    SinusoidalPositions,
    TokenEmbedding,
)
from transformer.heads import (
    ClassificationHead,
    ClassToken,
    LanguageModelHead,
    MaskedLanguageModelHead,
    MeanPooling,
)
from transformer.initialization import initialize
from transformer.layers import MLP, PostNormBlock, PreNormBlock
from transformer.model import Transformer

ACTIVATIONS = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
}
BLOCKS = {"pre": PreNormBlock, "post": PostNormBlock}
POSITIONS = {"learned": LearnedPositions, "sinusoidal": SinusoidalPositions}
POOLING = {"cls": ClassToken, "mean": MeanPooling}


def bert(
    architecture: Architecture,
    vocabulary_size: int,
    length: int,
    tie_embeddings: bool = True,
    generator: Generator | None = None,
) -> Transformer:
    """An encoder with a masked-LM head (Devlin et al. 2019, "BERT").

    inputs (B, T <= length) tokens; logits (N, vocabulary_size) at `positions`.
    """
    return _language_model(
        architecture, vocabulary_size, length, tie_embeddings, generator,
        MaskedLanguageModelHead, Bidirectional(), bias=True,
    )  # fmt: skip


def gpt(
    architecture: Architecture,
    vocabulary_size: int,
    length: int,
    tie_embeddings: bool = True,
    generator: Generator | None = None,
) -> Transformer:
    """A decoder with a language-model head (Radford et al. 2019, "GPT-2").

    inputs (B, T <= length) tokens; logits (B, T, vocabulary_size).
    """
    return _language_model(
        architecture, vocabulary_size, length, tie_embeddings, generator,
        LanguageModelHead, Causal(), bias=False,
    )  # fmt: skip


def vit(
    architecture: Architecture,
    image_size: int,
    patch_size: int,
    channels: int,
    classes: int,
    pooling: str = "cls",
    generator: Generator | None = None,
) -> Transformer:
    """An encoder of image patches with a classifier (Dosovitskiy et al. 2021, "ViT").

    inputs (B, channels, image_size, image_size); logits (B, classes).
    """
    if image_size % patch_size:
        raise ValueError(f"image_size {image_size} is not divisible by patch_size {patch_size}")
    class_token = pooling == "cls"
    length = (image_size // patch_size) ** 2 + class_token
    embedding = PatchEmbedding(
        channels,
        patch_size,
        architecture.d_model,
        class_token,
        POSITIONS[architecture.positions](length, architecture.d_model),
        _embedding_norm(architecture),
        architecture.dropout,
    )
    head = ClassificationHead(architecture.d_model, classes, POOLING[pooling]())
    return _assemble(architecture, embedding, head, Bidirectional(), generator)


def _language_model(
    architecture: Architecture,
    vocabulary_size: int,
    length: int,
    tie_embeddings: bool,
    generator: Generator | None,
    head: type[nn.Module],
    pattern: AttentionPattern,
    bias: bool,
) -> Transformer:
    d_model = architecture.d_model
    sinusoidal = architecture.positions == "sinusoidal"
    embedding = TokenEmbedding(
        vocabulary_size,
        d_model,
        POSITIONS[architecture.positions](length, d_model),
        _embedding_norm(architecture),
        architecture.dropout,
        # The sinusoids have amplitude 1: scale the token vectors up to them, as the paper does.
        scale=math.sqrt(d_model) if sinusoidal else 1.0,
    )
    decoder = nn.Linear(d_model, vocabulary_size, bias=bias)
    if tie_embeddings:
        decoder.weight = embedding.weight
    return _assemble(architecture, embedding, head(decoder), pattern, generator)


def _assemble(
    architecture: Architecture,
    embedding: nn.Module,
    head: nn.Module,
    pattern: AttentionPattern,
    generator: Generator | None,
) -> Transformer:
    # A post-norm block ends in a norm already.
    norm = nn.LayerNorm(architecture.d_model) if architecture.norm == "pre" else nn.Identity()
    blocks = [_block(architecture) for _ in range(architecture.n_layer)]
    model = Transformer(embedding, blocks, norm, head, pattern)
    initialize(model, generator)
    return model


def _block(architecture: Architecture) -> nn.Module:
    d_model, n_head, dropout = architecture.d_model, architecture.n_head, architecture.dropout
    d_head = d_model // n_head
    qk_norm = (
        nn.RMSNorm(d_head, elementwise_affine=False) if architecture.qk_norm else nn.Identity()
    )
    return BLOCKS[architecture.norm](
        SelfAttention(d_model, n_head, dropout, qk_norm),
        MLP(d_model, architecture.d_mlp, ACTIVATIONS[architecture.activation]()),
        nn.LayerNorm(d_model),
        nn.LayerNorm(d_model),
        dropout,
    )


def _embedding_norm(architecture: Architecture) -> nn.Module:
    """A post-norm block does not normalise its input, so the embedding does, as in BERT."""
    return nn.LayerNorm(architecture.d_model) if architecture.norm == "post" else nn.Identity()
