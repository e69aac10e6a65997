"""Masked language modelling: what is hidden, from what, and the figures."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.objectives import build
from pipeline.stages.prepare import prepare
from pipeline.training.randomness import fixed_generator

CPU = torch.device("cpu")


@pytest.fixture
def objective(small):
    prepare(small, "bert")
    from pipeline.paths import data_dir

    return build("bert", small, 0, data_dir("bert"), CPU)


def test_labels_are_what_stood_there_and_the_rest_is_untouched(objective):
    sequences = objective.tokens.random_windows(500, 8, objective.generator("test"))
    batch = objective._mask(sequences, 0.4, fixed_generator("test"))
    assert batch["positions"].shape == (500, 3)  # round(0.4 * 8) in each
    assert all(len(set(row)) == 3 for row in batch["positions"].tolist())
    assert torch.equal(sequences.gather(1, batch["positions"]), batch["labels"])
    visible = torch.ones_like(sequences, dtype=torch.bool).scatter(1, batch["positions"], False)
    assert torch.equal(batch["inputs"][visible], sequences[visible])


def test_eighty_ten_ten(objective):
    """Devlin et al. 2019, section 3.1: 80% [MASK], 10% a random token, 10% the token itself."""
    sequences = objective.tokens.random_windows(20_000, 8, objective.generator("test"))
    batch = objective._mask(sequences, 0.4, fixed_generator("test"))
    shown = batch["inputs"].gather(1, batch["positions"])
    masked = (shown == objective.tokens.meta["special"]["mask"]).float().mean().item()
    kept = (shown == batch["labels"]).float().mean().item()
    vocabulary = objective.tokens.vocabulary_size
    # A random token is [MASK] or the right one as often as any other.
    assert masked == pytest.approx(0.8 + 0.1 / vocabulary, abs=0.01)
    same_by_chance = 0.1 / vocabulary
    assert kept == pytest.approx(0.1 + same_by_chance, abs=0.01)


def test_a_step_has_one_batch_and_steps_differ(objective):
    first, again, second = (objective.training_batch(step) for step in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["inputs"], second["inputs"])


def test_the_untrained_model_knows_the_frequencies(objective):
    """Its head starts at the log unigram frequencies, so its loss is close to the baseline's."""
    model = objective.build_model().eval()
    figures = objective.evaluate(model)
    assert figures["loss"] == pytest.approx(figures["baseline_loss"], abs=0.05)


def test_figures_against_a_plain_computation(objective):
    model = objective.build_model().eval()
    held_out = objective.held_out
    with torch.no_grad():
        logits = model(held_out["inputs"]).gather(
            1, held_out["positions"][..., None].expand(-1, -1, objective.tokens.vocabulary_size)
        )
    labels = held_out["labels"]
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    ranks = (logits > logits.gather(2, labels[..., None])).sum(2)
    figures = objective.evaluate(model)
    assert figures["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert figures["top1"] == pytest.approx((ranks == 0).float().mean().item(), abs=1e-6)
    assert figures["top5"] == pytest.approx((ranks < 5).float().mean().item(), abs=1e-6)


def test_samples_show_the_hidden_words_in_order(objective):
    for sample in objective.samples(objective.build_model().eval()):
        words = sample["masked"].split()
        assert words.count("[MASK]") == len(sample["answer"]) == len(sample["predictions"])
        for best in sample["predictions"]:
            chances = [chance for _, chance in best]
            assert chances == sorted(chances, reverse=True)


def test_the_log_line_is_the_references(objective):
    rows = [{"loss": 4.3901, "delta_w": 11.5094}]
    assert objective.line(9000, rows, None) == "it: 9000  | loss 4.39  | Δw: 11.509"


def test_a_vocabulary_smaller_than_the_guesses_shown(small, project, request):
    (project / "text.txt").write_text("aye " * 200)
    objective = request.getfixturevalue("objective")
    model = objective.build_model().eval()
    assert objective.tokens.vocabulary_size == 4
    assert all(len(words) == 4 for words in objective.samples(model)[0]["predictions"])
    assert objective.evaluate(model)["top5"] == 1.0
