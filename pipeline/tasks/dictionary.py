"""A prepared pronouncing dictionary on the device."""

import json
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

END = 0  # ends a word and a pronunciation, begins the decoder's input, and is the padding
Sounds = Sequence[str]


class Dictionary:
    """Words, split into training, validation and test, with one or more pronunciations of each.

    letters: (words, L), sounds: (pronunciations, T), both with zeros behind each.
    word: (pronunciations,) the row in `letters` of each in `sounds`.
    sizes: the numbers of letters and of sounds of each pronunciation, with the end:
        two of (pronunciations,).
    """

    def __init__(self, folder: Path, device: torch.device):
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        tensors = load_file(folder / "pronunciations.safetensors")
        self.letters, self.sounds, self.word = (
            tensors[key].long().to(device) for key in ("letters", "sounds", "word")
        )
        self.sizes = [(each != END).sum(1) + 1 for each in (self.letters[self.word], self.sounds)]

    def split(self, name: str) -> Tensor:
        """The pronunciations of a split."""
        first, count = self.words(name)
        return ((self.word >= first) & (self.word < first + count)).nonzero().squeeze(1)

    def words(self, name: str) -> tuple[int, int]:
        """The first word of a split, and their number."""
        counts = {each: self.meta[f"{each}_words"] for each in ("train", "validation", "test")}
        before = takewhile(lambda each: each != name, counts)
        return sum(counts[each] for each in before), counts[name]

    def spelling(self, name: str) -> list[str]:
        """The words of a split."""
        first, count = self.words(name)
        rows = self.letters[first : first + count].tolist()
        return ["".join(named(row, self.meta["letters"])) for row in rows]

    def listed(self, name: str) -> list[list[Sounds]]:
        """The pronunciations of each word of a split."""
        first, count = self.words(name)
        found: list[list[Sounds]] = [[] for _ in range(count)]
        rows = self.split(name)
        for word, row in zip(self.word[rows].tolist(), self.sounds[rows].tolist(), strict=True):
            found[word - first].append(named(row, self.meta["sounds"]))
        return found

    def frequency_loss(self) -> float:
        """The validation loss, in nats, of predicting only frequencies of sounds and ends."""
        places = torch.arange(self.sounds.shape[1], device=self.sounds.device)
        real = places < self.sizes[1][:, None]  # (pronunciations, T)
        train, held_out = (
            self.sounds[rows][real[rows]] for rows in map(self.split, ("train", "validation"))
        )
        counts = torch.bincount(train, minlength=len(self.meta["sounds"]) + 1).double() + 1
        return -(counts / counts.sum()).log()[held_out].mean().item()


def named(numbers: Iterable[int], names: Sequence[str]) -> tuple[str, ...]:
    """The names of numbers from 1, up to the end."""
    return tuple(names[number - 1] for number in takewhile(END.__ne__, numbers))
