"""Heads: from the residual stream to predictions.

Every head that predicts has the same `loss`: hidden states and labels, and by name what changes the
mean over them. So a training loop needs only `model.head.loss(model.encode(inputs), labels)`. A
head that reads the hidden states of some tokens only says which in `keep`; a subclass that reads
others sets it anew.
"""

from torch import Tensor, nn

from transformer.losses import Candidates, linear_cross_entropy
from transformer.selection import EVERY, FirstToken, Selection


class TokenHead(nn.Module):
    """Logits of the vocabulary at every token of the hidden states.

    decoder: Linear to the vocabulary; may share the embedding's weight (weight tying, Press and
        Wolf 2017).
    transform: PredictionTransform before the decoder, or none.
    """

    def __init__(self, decoder: nn.Linear, transform: nn.Module | None = None):
        super().__init__()
        self.transform = transform or nn.Identity()
        self.decoder = decoder

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) or (N, d_model) to logits (B, T, vocabulary_size) or (N, ...)."""
        return self.decoder(self.transform(hidden))

    def loss(
        self,
        hidden: Tensor,
        labels: Tensor,
        *,
        smoothing: Tensor | None = None,
        candidates: Candidates | None = None,
    ) -> Tensor:
        """Mean cross entropy in nats over the tokens of the hidden states.

        hidden: (B, T, d_model) or (N, d_model). labels: (B, T) or (N,).
        smoothing, candidates: see `linear_cross_entropy`.
        """
        hidden, decoder = self.transform(hidden.flatten(0, -2)), self.decoder
        return linear_cross_entropy(
            hidden, decoder.weight, decoder.bias, labels.flatten(), smoothing, candidates
        )


class LanguageModelHead(TokenHead):
    """Logits of the next token at every position (GPT, and the decoder of an encoder-decoder)."""

    def __init__(self, decoder: nn.Linear):
        super().__init__(decoder)


class MaskedLanguageModelHead(TokenHead):
    """Logits of tokens from both sides (BERT).

    Only the masked ones are needed: `encode(tokens, keep=TokensAt(indices))` gives the head these
    alone. At 15% masking that is 15% of the product with the vocabulary, most of a small model's
    work.
    """


class PredictionTransform(nn.Sequential):
    """Linear layer, activation and norm between BERT's last block and its decoder (in its
    published code; not in the paper)."""

    def __init__(self, d_model: int, activation: nn.Module, norm: nn.Module):
        super().__init__(nn.Linear(d_model, d_model), activation, norm)


class ClassToken(nn.Module):
    """Pooling that takes the output at the class token (BERT, ViT)."""

    keep: Selection = FirstToken()

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_model)."""
        return hidden[:, 0]


class MeanPooling(nn.Module):
    """Pooling that takes the mean over the sequence.

    skip: how many vectors at the front to leave out, such as that of a class token.
    """

    def __init__(self, skip: int = 0):
        super().__init__()
        self.skip = skip

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to (B, d_model)."""
        return hidden[:, self.skip :].mean(dim=1)


class ClassificationHead(nn.Module):
    """Logits of the classes for the whole input.

    pooling: ClassToken or MeanPooling; may have `keep`, as heads may.
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

    @property
    def keep(self) -> Selection:
        """The tokens that the pooling reads."""
        return getattr(self.pooling, "keep", EVERY)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, d_model) to logits (B, classes)."""
        return self.classifier(self.transform(self.pooling(hidden)))

    def loss(self, hidden: Tensor, labels: Tensor, *, smoothing: Tensor | None = None) -> Tensor:
        """Mean cross entropy in nats.

        hidden: (B, T, d_model). labels: (B,).
        smoothing: (classes,) see `linear_cross_entropy`.
        """
        pooled = self.transform(self.pooling(hidden))  # (B, d_hidden)
        weight, bias = self.classifier.weight, self.classifier.bias
        return linear_cross_entropy(pooled, weight, bias, labels, smoothing)


class Pooler(nn.Module):
    """A linear layer and an activation on the class token's output (Devlin et al. 2019, "BERT", in
    its published code)."""

    keep: Selection = FirstToken()

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
