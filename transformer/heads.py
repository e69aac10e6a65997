"""Heads: from the residual stream to predictions."""

from torch import Tensor, nn

from transformer.losses import Candidates, linear_cross_entropy


class LanguageModelHead(nn.Module):
    """Logits of the next token at every position.

    decoder: Linear to the vocabulary; may share the embedding's weight (weight tying, Press and
        Wolf 2017).
    """

    def __init__(self, decoder: nn.Linear):
        super().__init__()
        self.decoder = decoder

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to logits (B, T, vocabulary_size)."""
        return self.decoder(hidden)

    def loss(
        self,
        hidden: Tensor,
        labels: Tensor,
        smoothing: Tensor | None = None,
        candidates: Candidates | None = None,
    ) -> Tensor:
        """Mean cross entropy in nats.

        labels: (B, T). smoothing, candidates: see `linear_cross_entropy`.
        """
        hidden, decoder = hidden.flatten(0, 1), self.decoder
        return linear_cross_entropy(
            hidden, decoder.weight, decoder.bias, labels.flatten(), smoothing, candidates
        )


class MaskedLanguageModelHead(nn.Module):
    """Logits of the masked tokens, at the masked positions only.

    At 15% masking this needs 15% of the product with the vocabulary, most of a small model's work.

    transform: PredictionTransform before the decoder, or none.
    """

    def __init__(self, decoder: nn.Linear, transform: nn.Module | None = None):
        super().__init__()
        self.transform = transform or nn.Identity()
        self.decoder = decoder

    def forward(self, hidden: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits.

        hidden: (B, T, d_model).
        positions: (N,) indices into the flattened B * T positions; None for all.
        Returns (N, vocabulary_size), or (B, T, vocabulary_size) without positions.
        """
        if positions is not None:
            hidden = _at(hidden, positions)
        return self.decoder(self.transform(hidden))

    def loss(
        self,
        hidden: Tensor,
        labels: Tensor,
        positions: Tensor,
        candidates: Candidates | None = None,
    ) -> Tensor:
        """Mean cross entropy in nats.

        labels: (N,) tokens at the N positions. candidates: see `linear_cross_entropy`.
        """
        hidden, decoder = self.transform(_at(hidden, positions)), self.decoder
        return linear_cross_entropy(
            hidden, decoder.weight, decoder.bias, labels, candidates=candidates
        )


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    return hidden.flatten(0, 1).index_select(0, positions)


class PredictionTransform(nn.Sequential):
    """Linear layer, activation and norm between BERT's last block and its decoder (in its
    published code; not in the paper)."""

    def __init__(self, d_model: int, activation: nn.Module, norm: nn.Module):
        super().__init__(nn.Linear(d_model, d_model), activation, norm)


class ClassToken(nn.Module):
    """Pooling that takes the output at the class token (BERT, ViT)."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_model)."""
        return hidden[:, 0]


class MeanPooling(nn.Module):
    """Pooling that takes the mean over positions.

    skip: number of positions at the front to leave out, such as a class token.
    """

    def __init__(self, skip: int = 0):
        super().__init__()
        self.skip = skip

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_model)."""
        return hidden[:, self.skip :].mean(dim=1)


class ClassificationHead(nn.Module):
    """Logits of the classes for the whole input.

    pooling: ClassToken or MeanPooling.
    transform: (B, d_model) to (B, d_hidden), between pooling and classifier; none by default.
    d_hidden: width of the classifier's input, if it is not d_model.
    bias: whether the classifier has a bias.
    """

    def __init__(
        self,
        d_model: int,
        classes: int,
        pooling: nn.Module,
        transform: nn.Module | None = None,
        d_hidden: int | None = None,
        bias: bool = True,
    ):
        super().__init__()
        self.pooling = pooling
        self.transform = transform or nn.Identity()
        self.classifier = nn.Linear(d_hidden or d_model, classes, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to logits (B, classes)."""
        return self.classifier(self.transform(self.pooling(hidden)))


class Pooler(nn.Module):
    """A linear layer and an activation on the class token's output (Devlin et al. 2019, "BERT", in
    its published code)."""

    def __init__(self, d_model: int, d_pooled: int, activation: nn.Module):
        super().__init__()
        self.dense = nn.Linear(d_model, d_pooled)
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_pooled)."""
        return self.activation(self.dense(hidden[:, 0]))


class HiddenStates(nn.Module):
    """No head: the output is the last hidden state."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) as it is."""
        return hidden
