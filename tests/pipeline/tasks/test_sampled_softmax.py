"""A sampled softmax has the whole one as its expectation, and costs less."""

import pytest
import torch

import transformer
from pipeline.parameters.base import SampledSoftmax
from pipeline.tasks.sampled_softmax import SampledVocabulary
from transformer import Architecture, flops_per_step

SIZE = 40
COUNTS = torch.arange(SIZE).flip(0)  # token 0 is the most frequent one
LABELS = torch.tensor([[3, 38], [25, 25]])


def draw(frequent: int, random: int):
    sampler = SampledVocabulary(SampledSoftmax(frequent=frequent, random=random), COUNTS)
    return sampler(LABELS)


def test_frequent_tokens_and_labels_are_always_candidates():
    torch.manual_seed(0)
    for _ in range(20):
        drawn = draw(5, 6)
        ids = drawn.ids.tolist()
        assert len(ids) == len(set(ids)) == 5 + 2 + 6  # 3 is a label and frequent
        assert {0, 1, 2, 3, 4, 25, 38} <= set(ids)
        assert [ids[place] for place in drawn.index[LABELS.flatten()]] == [3, 38, 25, 25]
        assert drawn.log_counts.exp().sum() == pytest.approx(SIZE)


def test_the_sum_over_the_candidates_has_the_whole_sum_as_its_mean():
    torch.manual_seed(0)
    logits = torch.randn(SIZE, dtype=torch.float64)
    sums = []
    for _ in range(4000):
        drawn = draw(5, 6)
        sums.append((logits[drawn.ids].exp() * drawn.log_counts.exp()).sum())
    sums = torch.stack(sums)
    error = sums.std() / len(sums) ** 0.5
    assert abs(sums.mean() - logits.exp().sum()) < 4 * error
    assert error < 0.01 * sums.mean()


def test_more_random_tokens_than_there_are_make_it_the_whole_softmax():
    drawn = draw(0, 1000)
    assert sorted(drawn.ids.tolist()) == list(range(SIZE))
    assert drawn.log_counts.eq(0).all()


def test_operations_are_those_of_the_candidates():
    shape = Architecture(n_layer=1, n_head=2, d_model=8, d_mlp=16)
    tokens = torch.zeros(2, 2, dtype=torch.long)
    sampler = SampledVocabulary(SampledSoftmax(frequent=5, random=6), COUNTS)
    narrowed = sampler.narrowed(transformer.gpt(shape, SIZE, 4), LABELS)
    direct = transformer.gpt(shape, 13, 4)  # as many as the candidates
    assert flops_per_step(narrowed, tokens) == flops_per_step(direct, tokens)
