"""Functions that build BERT, GPT, ViT and an encoder-decoder from the one Transformer class."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import wraps
from inspect import signature
from typing import ParamSpec

from torch import Generator, nn

from transformer.attention import Attention, CrossAttention, GroupedQueryAttention, SelfAttention
from transformer.config import Architecture, check_patches
from transformer.embeddings import PatchEmbedding, TokenEmbedding
from transformer.heads import (
    ClassificationHead,
    HiddenStates,
    LanguageModelHead,
    MaskedLanguageModelHead,
    PredictionTransform,
)
from transformer.initialization import initialize
from transformer.layers import MLP, Block, GatedMLP, LayerScale
from transformer.model import Transformer
from transformer.parts import ACTIVATIONS, BLOCKS, DECODER_BLOCKS, MLPS, NORMS, POOLING, POSITIONS
from transformer.patterns import Bidirectional, Causal
from transformer.positions import NoRotation, Rotary
from transformer.stems import STEMS

P = ParamSpec("P")


def _remembered(builder: Callable[P, Transformer]) -> Callable[P, Transformer]:
    """The same function; its models keep the function's name and arguments as `config`."""

    @wraps(builder)
    def build(*args: P.args, **kwargs: P.kwargs) -> Transformer:
        model = builder(*args, **kwargs)
        call = signature(builder).bind(*args, **kwargs)
        call.apply_defaults()
        arguments = {name: each for name, each in call.arguments.items() if name != "generator"}
        arguments["architecture"] = asdict(arguments["architecture"])
        model.config = {"kind": builder.__name__, **arguments}
        return model

    return build


@_remembered
def bert(
    architecture: Architecture,
    vocabulary_size: int,
    length: int,
    tie_embeddings: bool = True,
    prediction_transform: bool = False,
    head_bias: bool = True,
    generator: Generator | None = None,
) -> Transformer:
    """An encoder with a masked-LM head (Devlin et al. 2019, "BERT").

    inputs (B, T <= length) tokens; logits (B, T, vocabulary_size), or (N, vocabulary_size) of the
    N tokens in `keep` (see `selection.TokensAt`).
    prediction_transform: whether to add BERT's linear layer and norm before the decoder.
    head_bias: whether the decoder has a bias.
    """
    embedding = _token_embedding(architecture, vocabulary_size, length)
    decoder = _decoder(embedding, vocabulary_size, tie_embeddings, head_bias)
    activation = ACTIVATIONS[architecture.activation]()
    transform = (
        PredictionTransform(architecture.d_model, activation, _norm(architecture))
        if prediction_transform
        else None
    )
    head = MaskedLanguageModelHead(decoder, transform)
    blocks = _blocks(architecture, length)
    model = Transformer(embedding, blocks, _last_norm(architecture), head, Bidirectional())
    initialize(model, architecture.initialization, generator)
    return model


@_remembered
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
    embedding = _token_embedding(architecture, vocabulary_size, length)
    head = LanguageModelHead(_decoder(embedding, vocabulary_size, tie_embeddings, bias=False))
    blocks = _blocks(architecture, length)
    model = Transformer(embedding, blocks, _last_norm(architecture), head, Causal())
    initialize(model, architecture.initialization, generator)
    return model


@_remembered
def vit(
    architecture: Architecture,
    image_size: int,
    patch_size: int,
    channels: int,
    classes: int,
    pooling: str = "cls",
    head_bias: bool = True,
    stem: str = "linear",
    generator: Generator | None = None,
) -> Transformer:
    """An encoder of image patches with a classifier (Dosovitskiy et al. 2021, "ViT").

    inputs (B, channels, image_size, image_size); logits (B, classes).
    head_bias: whether the classifier has a bias.
    stem: from images to vectors of patches, a key of `stems.STEMS`.

    Raises:
        ValueError: the patches do not divide the image, or the stem does not allow their size.
    """
    check_patches(image_size, patch_size, stem, architecture.d_model)
    class_token = pooling == "cls"
    length = (image_size // patch_size) ** 2 + class_token
    embedding = PatchEmbedding(
        (image_size, image_size),
        STEMS[stem](channels, patch_size, architecture.d_model),
        class_token,
        POSITIONS[architecture.positions](length, architecture.d_model),
        _embedding_norm(architecture),
        architecture.embedding_dropout,
    )
    head = ClassificationHead(architecture.d_model, classes, POOLING[pooling](), bias=head_bias)
    blocks = _blocks(architecture, length)
    model = Transformer(embedding, blocks, _last_norm(architecture), head, Bidirectional())
    initialize(model, architecture.initialization, generator)
    return model


@_remembered
def encoder_decoder(
    architecture: Architecture,
    source_vocabulary_size: int,
    vocabulary_size: int,
    length: int,
    tie_embeddings: bool = True,
    n_decoder_layer: int = 0,
    generator: Generator | None = None,
) -> Transformer:
    """An encoder, and a decoder that attends to its output (Vaswani et al. 2017, "Attention Is
    All You Need"): `model(inputs, source=source)`.

    inputs, source (B, T <= length) tokens; logits (B, T, vocabulary_size).
    n_decoder_layer: number of the decoder's blocks; 0 means n_layer, which the encoder has. A
        shallow decoder after a deep encoder costs less for each token that it writes (Kasai et al.
        2021, "Deep Encoder, Shallow Decoder").

    Raises:
        ValueError: it is negative.
    """
    if n_decoder_layer < 0:
        raise ValueError(f"`n_decoder_layer`: {n_decoder_layer} should be at least 0")
    encoder = Transformer(
        _token_embedding(architecture, source_vocabulary_size, length),
        _blocks(architecture, length),
        _last_norm(architecture),
        HiddenStates(),
        Bidirectional(),
    )
    embedding = _token_embedding(architecture, vocabulary_size, length)
    decoder = _decoder(embedding, vocabulary_size, tie_embeddings, bias=False)
    decoding = replace(architecture, n_layer=n_decoder_layer or architecture.n_layer)
    model = Transformer(
        embedding,
        _blocks(decoding, length, crossing=True),
        _last_norm(architecture),
        LanguageModelHead(decoder),
        Causal(),
        encoder,
    )
    initialize(model, architecture.initialization, generator)
    return model


def _token_embedding(
    architecture: Architecture, vocabulary_size: int, length: int
) -> TokenEmbedding:
    d_model = architecture.d_model
    sinusoidal = architecture.positions == "sinusoidal"
    return TokenEmbedding(
        vocabulary_size,
        d_model,
        POSITIONS[architecture.positions](length, d_model),
        _embedding_norm(architecture),
        architecture.embedding_dropout,
        # The sinusoids have amplitude 1: scale the token vectors to match, as the paper does.
        scale=math.sqrt(d_model) if sinusoidal else 1.0,
    )


def _decoder(embedding: TokenEmbedding, vocabulary_size: int, tie: bool, bias: bool) -> nn.Linear:
    """The matrix from hidden states to the vocabulary; `tie` shares the embedding's weight."""
    decoder = nn.Linear(embedding.weight.shape[1], vocabulary_size, bias=bias)
    if tie:
        decoder.weight = embedding.weight
    return decoder


def _blocks(architecture: Architecture, length: int, crossing: bool = False) -> list[Block]:
    """crossing: whether the blocks have cross-attention to an encoder's output."""
    # All blocks share one table of angles.
    rotation = (
        Rotary(length, architecture.d_head, architecture.rope_theta)
        if architecture.positions == "rotary"
        else NoRotation()
    )
    make = _decoder_block if crossing else _block
    return [make(architecture, rotation) for _ in range(architecture.n_layer)]


def _block(architecture: Architecture, rotation: nn.Module) -> Block:
    return BLOCKS[architecture.norm_position](
        _attention(architecture, rotation),
        _mlp(architecture),
        _norm(architecture),
        _norm(architecture),
        architecture.dropout,
        _layer_scale(architecture),
        _layer_scale(architecture),
    )


def _decoder_block(architecture: Architecture, rotation: nn.Module) -> Block:
    a = architecture
    return DECODER_BLOCKS[a.norm_position](
        _attention(a, rotation),
        CrossAttention(a.d_model, a.n_head, a.dropout, a.bias, a.n_kv_head, _qk_norm(a)),
        _mlp(a),
        _norm(a),
        _norm(a),
        _norm(a),
        a.dropout,
        _layer_scale(a),
        _layer_scale(a),
        _layer_scale(a),
    )


def _attention(architecture: Architecture, rotation: nn.Module) -> Attention:
    a = architecture
    qk_norm = _qk_norm(a)
    if a.n_kv_head in (0, a.n_head):
        return SelfAttention(a.d_model, a.n_head, a.dropout, qk_norm, rotation, a.bias, a.bias)
    return GroupedQueryAttention(
        a.d_model, a.n_head, a.n_kv_head, a.d_head, a.dropout, qk_norm, rotation, a.bias, a.bias
    )


def _qk_norm(architecture: Architecture) -> nn.Module:
    a = architecture
    return nn.RMSNorm(a.d_head, elementwise_affine=False) if a.qk_norm else nn.Identity()


def _mlp(architecture: Architecture) -> MLP | GatedMLP:
    a = architecture
    activation = ACTIVATIONS[a.activation]()
    if a.mlp_dropout:
        activation = nn.Sequential(activation, nn.Dropout(a.mlp_dropout))
    return MLPS[a.mlp](a.d_model, a.d_mlp, activation, a.bias)


def _norm(architecture: Architecture) -> nn.Module:
    a = architecture
    return NORMS[a.norm](a.d_model, a.norm_eps, a.bias)


def _last_norm(architecture: Architecture) -> nn.Module:
    """None with post-norm blocks, which end in a norm already."""
    return _norm(architecture) if architecture.norm_position == "pre" else nn.Identity()


def _embedding_norm(architecture: Architecture) -> nn.Module:
    """A norm for post-norm blocks only, which do not normalise their input, as in BERT."""
    return _norm(architecture) if architecture.norm_position == "post" else nn.Identity()


def _layer_scale(architecture: Architecture) -> nn.Module:
    start = architecture.layer_scale
    return LayerScale(architecture.d_model, start) if start else nn.Identity()
