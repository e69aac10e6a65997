"""The blocks between embedding and head."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from transformer.attention import Attention, CrossAttention
from transformer.patterns import BlockInputs
from transformer.selection import EVERY, Selection


class MLP(nn.Module):
    """Two linear layers with an activation between, applied to each position separately."""

    def __init__(self, d_model: int, d_mlp: int, activation: nn.Module, bias: bool = True):
        super().__init__()
        self.up = nn.Linear(d_model, d_mlp, bias=bias)
        self.activation = activation
        self.down = nn.Linear(d_mlp, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) to (B, T, d_model)."""
        return self.down(self.activation(self.up(x)))


class GatedMLP(nn.Module):
    """An MLP with a gate on its hidden layer; with the activation SiLU it is Llama's SwiGLU
    (Shazeer 2020, "GLU Variants Improve Transformer", section 2)."""

    def __init__(self, d_model: int, d_mlp: int, activation: nn.Module, bias: bool = True):
        super().__init__()
        self.gate = nn.Linear(d_model, d_mlp, bias=bias)
        self.up = nn.Linear(d_model, d_mlp, bias=bias)
        self.activation = activation
        self.down = nn.Linear(d_mlp, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) to (B, T, d_model)."""
        return self.down(self.activation(self.gate(x)) * self.up(x))


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch (Touvron et al. 2021, "Going deeper
    with Image Transformers", section 2)."""

    def __init__(self, d_model: int, start: float):
        super().__init__()
        self.weight = nn.Parameter(torch.full((d_model,), start))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) to (B, T, d_model)."""
        return x * self.weight


class Block(nn.Module):
    """Attention and MLP, each with a residual connection; subclasses place the norms.

    Called with `keep`, it returns the vectors of these tokens alone, and computes no others behind
    its last attention.

    attention_scale, mlp_scale: LayerScale of the two branches, or none.
    """

    def __init__(
        self,
        attention: Attention,
        mlp: MLP | GatedMLP,
        attention_norm: nn.Module,
        mlp_norm: nn.Module,
        dropout: float,
        attention_scale: nn.Module | None = None,
        mlp_scale: nn.Module | None = None,
    ):
        super().__init__()
        self.attention_norm = attention_norm
        self.attention = attention
        self.attention_scale = attention_scale or nn.Identity()
        self.mlp_norm = mlp_norm
        self.mlp = mlp
        self.mlp_scale = mlp_scale or nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def residual_projections(self) -> Iterator[nn.Linear]:
        """The matrices that write to the residual stream."""
        yield self.attention.out
        yield self.mlp.down


class PreNormBlock(Block):
    """Norm before each sublayer (GPT-2, ViT): the residual path stays an identity."""

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """(B, T, d_model) to (B, T, d_model), or to those of the tokens to `keep`."""
        attended = self.attention(self.attention_norm(x), shared, keep)
        x = keep(x) + self.dropout(self.attention_scale(attended))
        return x + self.dropout(self.mlp_scale(self.mlp(self.mlp_norm(x))))


class PostNormBlock(Block):
    """Norm after each residual sum (Vaswani et al. 2017, section 3.1; BERT)."""

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """(B, T, d_model) to (B, T, d_model), or to those of the tokens to `keep`."""
        attended = self.attention_scale(self.attention(x, shared, keep))
        x = self.attention_norm(keep(x) + self.dropout(attended))
        return self.mlp_norm(x + self.dropout(self.mlp_scale(self.mlp(x))))


class DecoderBlock(Block):
    """A block with cross-attention to the encoder's output, between attention and MLP (Vaswani et
    al. 2017, section 3.1)."""

    def __init__(
        self,
        attention: Attention,
        cross_attention: CrossAttention,
        mlp: MLP | GatedMLP,
        attention_norm: nn.Module,
        cross_attention_norm: nn.Module,
        mlp_norm: nn.Module,
        dropout: float,
        attention_scale: nn.Module | None = None,
        cross_attention_scale: nn.Module | None = None,
        mlp_scale: nn.Module | None = None,
    ):
        super().__init__(
            attention, mlp, attention_norm, mlp_norm, dropout, attention_scale, mlp_scale
        )
        self.cross_attention_norm = cross_attention_norm
        self.cross_attention = cross_attention
        self.cross_attention_scale = cross_attention_scale or nn.Identity()

    def residual_projections(self) -> Iterator[nn.Linear]:
        """The matrices that write to the residual stream."""
        yield from super().residual_projections()
        yield self.cross_attention.out


class PreNormDecoderBlock(DecoderBlock):
    """Norm before each of the three sublayers."""

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """(B, T, d_model) to (B, T, d_model), or to those of the tokens to `keep`."""
        attended = self.attention(self.attention_norm(x), shared)
        x = x + self.dropout(self.attention_scale(attended))
        attended = self.cross_attention(self.cross_attention_norm(x), shared, keep)
        x = keep(x) + self.dropout(self.cross_attention_scale(attended))
        return x + self.dropout(self.mlp_scale(self.mlp(self.mlp_norm(x))))


class PostNormDecoderBlock(DecoderBlock):
    """Norm after each of the three residual sums."""

    def forward(self, x: Tensor, shared: BlockInputs, keep: Selection = EVERY) -> Tensor:
        """(B, T, d_model) to (B, T, d_model), or to those of the tokens to `keep`."""
        attended = self.attention_scale(self.attention(x, shared))
        x = self.attention_norm(x + self.dropout(attended))
        attended = self.cross_attention_scale(self.cross_attention(x, shared, keep))
        x = self.cross_attention_norm(keep(x) + self.dropout(attended))
        return self.mlp_norm(x + self.dropout(self.mlp_scale(self.mlp(x))))
