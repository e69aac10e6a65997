"""A softmax over a part of the vocabulary, for training: see `transformer.losses.Candidates`."""

import copy

import torch
from torch import Tensor, nn

from pipeline.parameters.base import SampledSoftmax
from pipeline.tasks.text import Tokens
from transformer import Transformer
from transformer.losses import Candidates


class WholeVocabulary:
    """The usual softmax: every token is a candidate."""

    def __call__(self, labels: Tensor) -> None:
        """None: see `linear_cross_entropy`."""

    def narrowed(self, model: Transformer, labels: Tensor) -> Transformer:
        """The model as it is."""
        return model


class SampledVocabulary:
    """Draws the candidates of a step: the most frequent tokens, the labels, and random others.

    settings: how many. counts: (vocabulary,) how often each token occurs in the training text.
    """

    def __init__(self, settings: SampledSoftmax, counts: Tensor):
        self.random = settings.random
        self.frequent = torch.zeros_like(counts, dtype=torch.bool)
        self.frequent[counts.argsort(descending=True, stable=True)[: settings.frequent]] = True

    def __call__(self, labels: Tensor) -> Candidates:
        """Candidates for these labels, from torch's global generator.

        The random ones are drawn without replacement; each stands for an equal share of all tokens
        that are neither frequent nor labels.
        """
        certain = self.frequent.clone()
        certain[labels.flatten()] = True
        others = (~certain).nonzero().squeeze(1)
        drawn = others[torch.randperm(len(others))[: self.random].to(others.device)]
        certain_ids = certain.nonzero().squeeze(1)
        ids = torch.cat((certain_ids, drawn))
        places = torch.empty_like(self.frequent, dtype=torch.long)
        places[ids] = torch.arange(len(ids), device=ids.device)
        log_counts = torch.zeros(len(ids), device=ids.device)
        if len(drawn):
            log_counts[len(certain_ids) :] = torch.tensor(len(others) / len(drawn)).log()
        return Candidates(ids, places, log_counts)

    def narrowed(self, model: Transformer, labels: Tensor) -> Transformer:
        """A model whose decoder scores as many tokens as there are candidates for these labels, to
        count operations."""
        model = copy.deepcopy(model)
        decoder = model.head.decoder
        model.head.decoder = nn.Linear(
            decoder.in_features, len(self(labels).ids), bias=decoder.bias is not None
        )
        return model


def sampler(settings: SampledSoftmax, tokens: Tokens) -> WholeVocabulary | SampledVocabulary:
    """What `settings` ask for, with the frequencies of the training text."""
    if settings.random == 0:
        return WholeVocabulary()
    return SampledVocabulary(settings, tokens.counts())


def scored_words(settings: SampledSoftmax, vocabulary: int) -> float:
    """About how many words the softmax of a step runs over."""
    return min(vocabulary, settings.frequent + settings.random) if settings.random else vocabulary
