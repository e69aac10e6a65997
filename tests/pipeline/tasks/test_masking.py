"""Masking: which tokens are masked, and what replaces them."""

import pytest
import torch

from pipeline.parameters.masked_lm import Masking
from pipeline.tasks.masking import mask_tokens
from pipeline.training.randomness import fixed_generator

VOCABULARY, MASK = 50, 2
SEQUENCES = torch.randint(3, VOCABULARY, (20_000, 8), generator=torch.Generator().manual_seed(0))


def masked(fraction: float, selection: str, replacement: str) -> dict[str, torch.Tensor]:
    masking = Masking(fraction=fraction, selection=selection, replacement=replacement)
    return mask_tokens(SEQUENCES, masking, MASK, VOCABULARY, fixed_generator("test"))


@pytest.mark.parametrize("selection", ["exact", "independent"])
@pytest.mark.parametrize("replacement", ["mask", "mixed"])
def test_labels_are_what_stood_there_and_the_rest_is_untouched(selection, replacement):
    batch = masked(0.4, selection, replacement)
    assert torch.equal(batch["labels"], SEQUENCES)
    assert torch.equal(batch["inputs"][~batch["masked"]], SEQUENCES[~batch["masked"]])


def test_exact_hides_as_many_in_each_sequence():
    assert (masked(0.4, "exact", "mask")["masked"].sum(1) == 3).all()  # round(0.4 * 8)


def test_exact_hides_each_place_as_often():
    share = masked(0.4, "exact", "mask")["masked"].float().mean(0)
    torch.testing.assert_close(share, torch.full((8,), 3 / 8), atol=0.015, rtol=0)


def test_independent_hides_a_binomial_number():
    """By hand: with 8 words and p = 0.15, 0.85 ** 8 = 27.2% of the sequences have no mask."""
    chosen = masked(0.15, "independent", "mask")["masked"]
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert (chosen.sum(1) == 0).float().mean().item() == pytest.approx(0.85**8, abs=0.015)


def test_independent_leaves_no_batch_without_a_hidden_token():
    masking = Masking(fraction=1e-9, selection="independent", replacement="mask")
    batch = mask_tokens(SEQUENCES[:2], masking, MASK, VOCABULARY, fixed_generator("test"))
    assert batch["masked"].sum() == 1


def test_the_mask_token_stands_for_every_hidden_token():
    batch = masked(0.4, "exact", "mask")
    assert (batch["inputs"][batch["masked"]] == MASK).all()


def test_mixed_is_eighty_ten_ten():
    """Devlin et al. 2019, section 3.1: 80% [MASK], 10% a random token, 10% the token itself."""
    batch = masked(0.4, "exact", "mixed")
    shown, labels = batch["inputs"][batch["masked"]], batch["labels"][batch["masked"]]
    by_chance = 0.1 / VOCABULARY  # a random token may be the mask or the right one
    assert (shown == MASK).float().mean().item() == pytest.approx(0.8 + by_chance, abs=0.01)
    assert (shown == labels).float().mean().item() == pytest.approx(0.1 + by_chance, abs=0.01)
