"""Every head that predicts has one loss: the mean cross entropy of its own logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transformer.heads import (
    ClassificationHead,
    LanguageModelHead,
    MaskedLanguageModelHead,
    MeanPooling,
    PredictionTransform,
)

B, T, D, CLASSES = 3, 5, 8, 7
HEADS = {
    "language model": lambda: LanguageModelHead(nn.Linear(D, CLASSES, bias=False)),
    "masked": lambda: MaskedLanguageModelHead(nn.Linear(D, CLASSES)),
    "masked, with a transform": lambda: MaskedLanguageModelHead(
        nn.Linear(D, CLASSES), PredictionTransform(D, nn.GELU(), nn.LayerNorm(D))
    ),
    "classifier": lambda: ClassificationHead(D, CLASSES, MeanPooling(), nn.Tanh()),
}


@pytest.mark.parametrize("smoothed", [0.0, 0.1])
@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_the_cross_entropy_of_the_logits(name, smoothed):
    torch.manual_seed(0)
    head, hidden = HEADS[name](), torch.randn(B, T, D)
    logits = head(hidden).flatten(0, -2)
    labels = torch.randint(CLASSES, (len(logits),))
    given = labels if name == "classifier" else labels.view(B, T)
    smoothing = torch.full((CLASSES,), smoothed / CLASSES) if smoothed else None
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothed)
    torch.testing.assert_close(head.loss(hidden, given, smoothing=smoothing), expected)
