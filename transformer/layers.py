"""The blocks between embedding and head."""

from typing import Any

from torch import Tensor, nn


class MLP(nn.Module):
    """Two matrices with a nonlinearity between, applied to each position alone."""

    def __init__(self, d_model: int, d_mlp: int, activation: nn.Module):
        super().__init__()
        self.up = nn.Linear(d_model, d_mlp)
        self.activation = activation
        self.down = nn.Linear(d_mlp, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d_model) to (B, T, d_model)."""
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """Attention and MLP, each with a residual connection; subclasses say where the norms stand."""

    def __init__(
        self,
        attention: nn.Module,
        mlp: nn.Module,
        attention_norm: nn.Module,
        mlp_norm: nn.Module,
        dropout: float,
    ):
        super().__init__()
        self.attention_norm = attention_norm
        self.attention = attention
        self.mlp_norm = mlp_norm
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)


class PreNormBlock(Block):
    """Norm before each sublayer (GPT-2, ViT): the residual path stays an identity."""

    def forward(self, x: Tensor, pattern: dict[str, Any]) -> Tensor:
        """(B, T, d_model) to (B, T, d_model)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), pattern))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class PostNormBlock(Block):
    """Norm after each residual sum (Vaswani et al. 2017, section 3.1; BERT)."""

    def forward(self, x: Tensor, pattern: dict[str, Any]) -> Tensor:
        """(B, T, d_model) to (B, T, d_model)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, pattern)))
        return self.mlp_norm(x + self.dropout(self.mlp(x)))
