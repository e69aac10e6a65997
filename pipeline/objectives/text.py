"""What the two language-model objectives share: tokens on the device, and windows of them."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor


class Tokens:
    """The prepared text of `prepare`.

    train, validation: (n_tokens,) int64 on the device.
    length: of a sequence.
    """

    def __init__(self, folder: Path, device: torch.device):
        tensors = load_file(folder / "tokens.safetensors")
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        self.train = tensors["train"].long().to(device)
        self.validation = tensors["validation"].long().to(device)
        self.length: int = self.meta["sequence_length"]
        self.vocabulary_size: int = self.meta["vocabulary_size"]
        self._tokenizer_file = folder / "tokenizer.json"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back."""
        return Tokenizer.from_file(str(self._tokenizer_file))

    def random_windows(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """`count` windows of the training text at random offsets: (count, length)."""
        starts = torch.randint(len(self.train) - length + 1, (count, 1), generator=generator)
        return self.train[(starts + torch.arange(length)).to(self.train.device)]

    def unigram_log_probabilities(self) -> Tensor:
        """Log frequencies of the training text with one added to every count: (vocabulary,)."""
        counts = torch.bincount(self.train, minlength=self.vocabulary_size).double() + 1
        return (counts / counts.sum()).log()


def consecutive_windows(tokens: Tensor, length: int, stride: int | None = None) -> Tensor:
    """Windows one after the other, without the remainder: (n, length)."""
    return tokens.unfold(0, length, stride or length)


def evenly(windows: Tensor, count: int) -> Tensor:
    """At most `count` of the windows, evenly spaced."""
    if len(windows) <= count:
        return windows
    return windows[torch.linspace(0, len(windows) - 1, count).long().to(windows.device)]
