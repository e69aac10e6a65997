"""From tokens or pixels to the residual stream: (B, T, d_model)."""

import math

import torch
from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """A trained vector per position, as in BERT, GPT-2 and ViT."""

    def __init__(self, length: int, d_model: int):
        super().__init__(length, d_model)

    def forward(self, length: int) -> Tensor:
        """Vectors of the first `length` positions: (length, d_model)."""
        if length > self.num_embeddings:
            raise ValueError(f"a sequence of {length} is longer than the {self.num_embeddings} "
                             "positions of the model")
        return self.weight[:length]


class SinusoidalPositions(nn.Module):
    """Fixed sines and cosines (Vaswani et al. 2017, "Attention Is All You Need", section 3.5)."""

    def __init__(self, length: int, d_model: int):
        super().__init__()
        position = torch.arange(length)[:, None]
        frequency = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10_000.0) / d_model))
        angles = position * frequency
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, length: int) -> Tensor:
        """Vectors of the first `length` positions: (length, d_model)."""
        return self.table[:length]


class TokenEmbedding(nn.Module):
    """Token vectors plus position vectors, then norm and dropout.

    scale: factor on the token vectors; sqrt(d_model) in the 2017 paper (section 3.4).
    """

    def __init__(
        self,
        vocabulary_size: int,
        d_model: int,
        positions: nn.Module,
        norm: nn.Module,
        dropout: float,
        scale: float = 1.0,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, d_model)
        self.positions = positions
        self.norm = norm
        self.dropout = nn.Dropout(dropout)
        self.scale = scale

    @property
    def weight(self) -> nn.Parameter:
        """The table that turns input into vectors: (vocabulary_size, d_model)."""
        return self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, d_model)."""
        x = self.tokens(tokens)
        if self.scale != 1.0:
            x = x * self.scale
        return self.dropout(self.norm(x + self.positions(tokens.shape[1])))


class PatchEmbedding(nn.Module):
    """Image patches, projected linearly, behind a class token (Dosovitskiy et al. 2021,
    "An Image is Worth 16x16 Words", section 3.1).

    class_token: whether a learned vector stands before the patches.
    """

    def __init__(
        self,
        channels: int,
        patch_size: int,
        d_model: int,
        class_token: bool,
        positions: nn.Module,
        norm: nn.Module,
        dropout: float,
    ):
        super().__init__()
        self.patches = nn.Conv2d(channels, d_model, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, d_model)) if class_token else None
        self.positions = positions
        self.norm = norm
        self.dropout = nn.Dropout(dropout)

    @property
    def weight(self) -> nn.Parameter:
        """The projection of a patch: (d_model, channels, patch_size, patch_size)."""
        return self.patches.weight

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, T, d_model), T = patches (+ 1 with a class token)."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)
        return self.dropout(self.norm(x + self.positions(x.shape[1])))
