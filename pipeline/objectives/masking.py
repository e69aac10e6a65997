"""Which tokens of a sequence are hidden, and what stands in their place.

Both choices change what a loss means: a figure is comparable only with one of the same masking.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from pipeline.params import Masking

KEEP, RANDOM = 0.1, 0.1  # of the hidden tokens, with the replacement "mixed"


def exact(count: int, length: int, fraction: float, random: Generator) -> Tensor:
    """The same number of tokens in each sequence, one at least: (count, length) bool."""
    hidden = max(1, round(fraction * length))
    places = torch.rand(count, length, generator=random).topk(hidden, dim=1).indices
    return torch.zeros(count, length, dtype=torch.bool).scatter_(1, places, True)


def independent(count: int, length: int, fraction: float, random: Generator) -> Tensor:
    """Each token with the same probability, whatever happens to the others: (count, length) bool.

    A batch with no hidden token at all has no loss: then the first token is hidden.
    """
    hidden = torch.rand(count, length, generator=random) < fraction
    if not hidden.any():
        hidden[0, 0] = True
    return hidden


def mask_token(hidden: Tensor, mask: int, vocabulary_size: int, random: Generator) -> Tensor:
    """The mask token for each of the `hidden` tokens, (N,)."""
    return torch.full_like(hidden, mask)


def mixed(hidden: Tensor, mask: int, vocabulary_size: int, random: Generator) -> Tensor:
    """80% the mask token, 10% a random token, 10% the token itself, (N,): as Devlin et al. 2019,
    "BERT", section 3.1. A tenth of the answers stand there to be read."""
    draw = torch.rand(len(hidden), generator=random).to(hidden.device)
    others = torch.randint(vocabulary_size, (len(hidden),), generator=random).to(hidden.device)
    shown = torch.full_like(hidden, mask).where(draw >= RANDOM, others)
    return shown.where(draw <= 1 - KEEP, hidden)


SELECTIONS: dict[str, Callable[[int, int, float, Generator], Tensor]] = {
    "exact": exact,
    "independent": independent,
}
REPLACEMENTS: dict[str, Callable[[Tensor, int, int, Generator], Tensor]] = {
    "mask": mask_token,
    "mixed": mixed,
}


def hide(
    sequences: Tensor, masking: Masking, mask: int, vocabulary_size: int, random: Generator
) -> dict[str, Tensor]:
    """A batch of masked sequences.

    sequences: (B, T) tokens. mask: the token that stands for a hidden one.
    Returns `inputs` (B, T), what the model reads; `labels` (B, T), what stood there; `hidden`
    (B, T) bool, which of them the loss is about, on the CPU: finding them there does not wait for
    a GPU.
    """
    hidden = SELECTIONS[masking.selection](*sequences.shape, masking.fraction, random)
    places = hidden.flatten().nonzero().squeeze(1).to(sequences.device)
    answers = sequences.flatten()[places]
    shown = REPLACEMENTS[masking.replacement](answers, mask, vocabulary_size, random)
    inputs = sequences.flatten().index_copy(0, places, shown).view_as(sequences)
    return {"inputs": inputs, "labels": sequences, "hidden": hidden}
