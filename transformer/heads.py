"""From the residual stream to predictions."""

from torch import Tensor, nn

from transformer.losses import linear_cross_entropy


class LanguageModelHead(nn.Module):
    """Scores of the next token at every position.

    decoder: Linear to the vocabulary; its weight may be the embedding's (weight tying, Press and
        Wolf 2017).
    """

    def __init__(self, decoder: nn.Linear):
        super().__init__()
        self.decoder = decoder

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to logits (B, T, vocabulary_size)."""
        return self.decoder(hidden)

    def loss(self, hidden: Tensor, labels: Tensor, smoothing: Tensor | None = None) -> Tensor:
        """Mean cross entropy in nats.

        labels: (B, T). smoothing: see `linear_cross_entropy`.
        """
        hidden, decoder = hidden.flatten(0, 1), self.decoder
        return linear_cross_entropy(
            hidden, decoder.weight, decoder.bias, labels.flatten(), smoothing
        )


class MaskedLanguageModelHead(nn.Module):
    """Scores of the hidden tokens, at the masked positions only.

    At 15% masking the product with the vocabulary, most of a small model's work, shrinks to 15%.
    """

    def __init__(self, decoder: nn.Linear):
        super().__init__()
        self.decoder = decoder

    def forward(self, hidden: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits.

        hidden: (B, T, d_model).
        positions: (N,) indices into the flattened B * T positions; None scores all.
        Returns (N, vocabulary_size), or (B, T, vocabulary_size) without positions.
        """
        if positions is not None:
            hidden = _at(hidden, positions)
        return self.decoder(hidden)

    def loss(self, hidden: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """Mean cross entropy in nats; labels (N,) of the tokens at the N positions."""
        decoder = self.decoder
        return linear_cross_entropy(_at(hidden, positions), decoder.weight, decoder.bias, labels)


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    return hidden.flatten(0, 1).index_select(0, positions)


class ClassToken(nn.Module):
    """The output at the class token stands for the whole input (BERT, ViT)."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_model)."""
        return hidden[:, 0]


class MeanPooling(nn.Module):
    """The mean over positions stands for the whole input."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_model)."""
        return hidden.mean(dim=1)


class ClassificationHead(nn.Module):
    """Scores of the classes for the whole input.

    pooling: ClassToken or MeanPooling.
    """

    def __init__(self, d_model: int, classes: int, pooling: nn.Module):
        super().__init__()
        self.pooling = pooling
        self.classifier = nn.Linear(d_model, classes)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to logits (B, classes)."""
        return self.classifier(self.pooling(hidden))
