"""Masking: which tokens of a sequence to mask, and what replaces them.

Losses are comparable only if both choices are the same.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from pipeline.parameters.masked_lm import Masking

KEEP, RANDOM = 0.1, 0.1  # shares of the masked tokens, with the replacement "mixed"


def exact(count: int, length: int, fraction: float, random: Generator) -> Tensor:
    """The same number of tokens in each sequence, at least one: (count, length) bool."""
    chosen = max(1, round(fraction * length))
    # (count, chosen): different tokens of each sequence
    indices = torch.rand(count, length, generator=random).topk(chosen, dim=1).indices
    return torch.zeros(count, length, dtype=torch.bool).scatter_(1, indices, True)


def independent(count: int, length: int, fraction: float, random: Generator) -> Tensor:
    """Each token independently with the same probability: (count, length) bool.

    If none is chosen, the first token is masked: the loss of the batch needs at least one.
    """
    masked = torch.rand(count, length, generator=random) < fraction
    if not masked.any():
        masked[0, 0] = True
    return masked


def mask_token(answers: Tensor, mask: int, vocabulary_size: int, random: Generator) -> Tensor:
    """The mask token in place of all `answers`, (N,)."""
    return torch.full_like(answers, mask)


def mixed(answers: Tensor, mask: int, vocabulary_size: int, random: Generator) -> Tensor:
    """80% the mask token, 10% a random token, 10% the token itself, (N,) (Devlin et al. 2019,
    "BERT", section 3.1). So the model sees 10% of the answers."""
    draw = torch.rand(len(answers), generator=random).to(answers.device)
    others = torch.randint(vocabulary_size, (len(answers),), generator=random).to(answers.device)
    shown = torch.full_like(answers, mask).where(draw >= RANDOM, others)
    return shown.where(draw <= 1 - KEEP, answers)


SELECTIONS: dict[str, Callable[[int, int, float, Generator], Tensor]] = {
    "exact": exact,
    "independent": independent,
}
REPLACEMENTS: dict[str, Callable[[Tensor, int, int, Generator], Tensor]] = {
    "mask": mask_token,
    "mixed": mixed,
}


def mask_tokens(
    sequences: Tensor, masking: Masking, mask: int, vocabulary_size: int, random: Generator
) -> dict[str, Tensor]:
    """A batch of masked sequences.

    sequences: (B, T) tokens. mask: the mask token.
    Returns `inputs` (B, T), the model's input; `labels` (B, T), the original tokens; `masked`
    (B, T) bool, the tokens that count in the loss, on the CPU to avoid waiting for a GPU.
    """
    count, length = sequences.shape
    masked = SELECTIONS[masking.selection](count, length, masking.fraction, random)
    indices = masked.flatten().nonzero().squeeze(1).to(sequences.device)  # (N,) of B * T
    answers = sequences.flatten()[indices]  # (N,)
    shown = REPLACEMENTS[masking.replacement](answers, mask, vocabulary_size, random)
    inputs = sequences.flatten().index_copy(0, indices, shown).view_as(sequences)
    return {"inputs": inputs, "labels": sequences, "masked": masked}
