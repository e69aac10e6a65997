"""What tasks on texts share: tokens on the device, and windows of them."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from pipeline.errors import UserError
from pipeline.training.randomness import generator


class Tokens:
    """A prepared text.

    train, validation: (n_tokens,) int64 on the device.
    length: sequence length.
    """

    def __init__(self, folder: Path, device: torch.device):
        tensors = load_file(folder / "tokens.safetensors")
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        self.train = tensors["train"].long().to(device)
        self.validation = tensors["validation"].long().to(device)
        self.length: int = self.meta["sequence_length"]
        self.vocabulary_size: int = self.meta["vocabulary_size"]
        # The token at which each line begins, also empty lines; None if examples begin anywhere.
        self.lines = tensors.get("train_lines")
        self._tokenizer_file = folder / "tokenizer.json"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the text."""
        return Tokenizer.from_file(str(self._tokenizer_file))

    def random_windows(self, count: int, length: int, random: torch.Generator) -> Tensor:
        """`count` windows of the training text at random offsets: (count, length)."""
        starts = torch.randint(len(self.train) - length + 1, (count, 1), generator=random)
        return self.train[(starts + torch.arange(length)).to(self.train.device)]

    def counts(self) -> Tensor:
        """How often each token occurs in the training text: (vocabulary,)."""
        return torch.bincount(self.train, minlength=self.vocabulary_size)

    def unigram_log_probabilities(self) -> Tensor:
        """Log token frequencies of the training text, with add-one smoothing: (vocabulary,)."""
        counts = self.counts().double() + 1
        return (counts / counts.sum()).log()


def hits(logits: Tensor, labels: Tensor, ranks: Sequence[int]) -> Tensor:
    """For each rank k, how many labels have a logit that fewer than k others reach: (len(ranks),).

    logits: (N, vocabulary), which it overwrites; labels: (N,).
    """
    own = logits.gather(1, labels[:, None])[:, 0]  # (N,)
    others = logits.scatter_(1, labels[:, None], -torch.inf)
    # amax takes a fifth of the time of topk and argmax.
    bounds = [
        others.amax(1) if k == 1 else others.topk(min(k, others.shape[1])).values[:, -1]
        for k in ranks
    ]
    return torch.stack([(own > bound).sum() for bound in bounds])


class Anywhere:
    """Examples that begin anywhere in the training text, drawn with replacement."""

    def __init__(self, tokens: Tokens, model: str):
        self.tokens = tokens
        self.count = len(tokens.train) // tokens.length

    def draw(self, step: int, batch_size: int, seed: int) -> Tensor:
        """The examples of a step: (batch_size, length)."""
        random = generator(seed, "data order", step)
        return self.tokens.random_windows(batch_size, self.tokens.length, random)

    def all(self) -> Tensor:
        """The whole training text once, as consecutive sequences: (count, length)."""
        return consecutive_windows(self.tokens.train, self.tokens.length)


class LineStarts:
    """Examples that begin at a line and continue into the next lines; the text wraps around at its
    end. Each epoch has one example for each line, in random order; examples that do not fill a
    batch are left out.

    model: its name in params.yaml, for messages.
    """

    def __init__(self, tokens: Tokens, model: str):
        self.tokens = tokens
        self.model = model
        self.count = len(tokens.lines)
        self._wrapped = torch.cat((tokens.train, tokens.train[: tokens.length]))

    def draw(self, step: int, batch_size: int, seed: int) -> Tensor:
        """The examples of a step: (batch_size, length).

        Raises:
            UserError: the text has fewer lines than a batch has examples.
        """
        if batch_size > self.count:
            raise UserError(
                f"{self.model}.train.batch_size: {batch_size:,}, but the text has only "
                f"{self.count:,} lines; use a smaller batch, or "
                f"{self.model}.data.examples: anywhere"
            )
        epoch, position = divmod(step, self.count // batch_size)
        order = torch.randperm(self.count, generator=generator(seed, "data order", epoch))
        chosen = order[position * batch_size :][:batch_size]
        return self._windows(self.tokens.lines[chosen])

    def all(self) -> Tensor:
        """One example for each line, in order: (count, length)."""
        return self._windows(self.tokens.lines)

    def _windows(self, starts: Tensor) -> Tensor:
        places = starts.long()[:, None] + torch.arange(self.tokens.length)  # (n, length)
        return self._wrapped[places.to(self._wrapped.device)]


EXAMPLES: dict[str, type[Anywhere] | type[LineStarts]] = {"anywhere": Anywhere, "lines": LineStarts}


def consecutive_windows(tokens: Tensor, length: int, stride: int | None = None) -> Tensor:
    """Windows every `stride` tokens (by default without overlap), without the remainder:
    (n, length)."""
    return tokens.unfold(0, length, stride or length)


def evenly(windows: Tensor, count: int) -> Tensor:
    """At most `count` of the (n, length) windows, evenly spaced."""
    if len(windows) <= count:
        return windows
    return windows[torch.linspace(0, len(windows) - 1, count).long().to(windows.device)]
