"""From tokens or pixels to the residual stream: (B, T, d_model)."""

from typing import Any

import torch
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """Token vectors plus position vectors, then norm and dropout.

    scale: factor on the token vectors; sqrt(d_model) in the 2017 paper (section 3.4).
    token_types: number of token types, such as first and second sentence; a learned vector for
        the type is added (Devlin et al. 2019, "BERT", section 3.1); 0 for none.
    padding_id: the padding token, whose vector is not trained; None for none.
    """

    def __init__(
        self,
        vocabulary_size: int,
        d_model: int,
        positions: nn.Module,
        norm: nn.Module,
        dropout: float,
        scale: float = 1.0,
        token_types: int = 0,
        padding_id: int | None = None,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, d_model, padding_idx=padding_id)
        self.token_types = nn.Embedding(token_types, d_model) if token_types else None
        self.positions = positions
        self.norm = norm
        self.dropout = nn.Dropout(dropout)
        self.scale = scale

    @property
    def weight(self) -> Tensor:
        """The token vectors: (vocabulary_size, d_model)."""
        return self.tokens.weight

    def forward(
        self,
        tokens: Tensor,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """(B, T) token ids to (B, T, d_model).

        position_ids: (T,) or (B, T); None counts from zero.
        token_type_ids: (B, T); None is type 0 everywhere.

        Raises:
            ValueError: token_type_ids for a model without token types.
        """
        x = self.tokens(tokens)  # (B, T, d_model)
        if self.scale != 1.0:
            x = x * self.scale
        if self.token_types is not None:
            kinds = torch.zeros_like(tokens) if token_type_ids is None else token_type_ids
            x = x + self.token_types(kinds)
        elif token_type_ids is not None:
            raise ValueError("token_type_ids are given, but the model has no token types")
        return self.dropout(self.norm(self.positions(x, position_ids)))


class PatchEmbedding(nn.Module):
    """Vectors of image patches, after a class token (Dosovitskiy et al. 2021, "An Image is Worth
    16x16 Words", section 3.1).

    image_size: height and width of the images.
    patches: the stem, from images to vectors of patches (see `stems.py`); has a `weight`.
    class_token: whether to put a learned vector before the patches.
    """

    patches: Any

    def __init__(
        self,
        image_size: tuple[int, int],
        patches: nn.Module,
        class_token: bool,
        positions: nn.Module,
        norm: nn.Module,
        dropout: float,
    ):
        super().__init__()
        self.image_size = image_size
        self.patches = patches
        d_model = len(self.weight)
        self.class_token = nn.Parameter(torch.zeros(1, 1, d_model)) if class_token else None
        self.positions = positions
        self.norm = norm
        self.dropout = nn.Dropout(dropout)

    @property
    def weight(self) -> Tensor:
        """Of the stem's last layer, as (d_model, inputs, height, width)."""
        return self.patches.weight

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, T, d_model), T = patches (+ 1 with a class token).

        Raises:
            ValueError: images of another size, whose patches would get wrong positions.
        """
        if images.shape[-2:] != self.image_size:
            height, width = images.shape[-2:]
            raise ValueError(
                f"images of {height} x {width} pixels, but the model is for "
                f"{self.image_size[0]} x {self.image_size[1]}"
            )
        # (B, d_model, rows, columns) to (B, rows * columns, d_model)
        x = self.patches(images).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            class_tokens = self.class_token.expand(len(x), -1, -1)  # (B, 1, d_model)
            x = torch.cat((class_tokens, x), dim=1)
        return self.dropout(self.norm(self.positions(x)))


class Vectors(nn.Module):
    """No embedding: the input is a sequence of vectors already, as for torch.nn.Transformer."""

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, T, d_model) as they are."""
        return vectors
