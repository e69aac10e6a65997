"""The variants of each part by name: values of `config.Architecture`, and of `pooling` of a ViT."""

from collections.abc import Callable

from torch import nn

from transformer.heads import ClassToken, MeanPooling
from transformer.layers import (
    MLP,
    GatedMLP,
    PostNormBlock,
    PostNormDecoderBlock,
    PreNormBlock,
    PreNormDecoderBlock,
)
from transformer.positions import LearnedPositions, NoPositions, SinusoidalPositions

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}
NORMS: dict[str, Callable[[int, float, bool], nn.Module]] = {
    "layernorm": lambda d, eps, bias: nn.LayerNorm(d, eps, bias=bias),
    "rmsnorm": lambda d, eps, bias: nn.RMSNorm(d, eps),
}
BLOCKS = {"pre": PreNormBlock, "post": PostNormBlock}
DECODER_BLOCKS = {"pre": PreNormDecoderBlock, "post": PostNormDecoderBlock}
MLPS: dict[str, type[MLP] | type[GatedMLP]] = {"plain": MLP, "gated": GatedMLP}
# The position vectors that the embedding adds.
POSITIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "rotary": lambda length, d_model: NoPositions(),
}
POOLING: dict[str, Callable[[], nn.Module]] = {"cls": ClassToken, "mean": MeanPooling}
