"""Masked language modelling: masking, batches and metrics."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.training.task import Measure
from pipeline.views.masked_lm import VIEW
from tests.conftest import build

CPU = torch.device("cpu")


@pytest.fixture
def objective(small):
    prepare(small, "bert")
    return build("bert", small, 0, data_dir("bert"), CPU)


def test_a_step_has_one_batch_and_steps_differ(objective):
    first, again, second = (objective.batch(step) for step in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["inputs"], second["inputs"])


def test_the_untrained_model_knows_the_frequencies(objective):
    """The head starts with the log unigram frequencies, so the loss is close to the baseline."""
    model = objective.build_model().eval()
    metrics = objective.evaluate(model)
    assert metrics["loss"] == pytest.approx(metrics["baseline_loss"], abs=0.05)


def test_metrics_equal_a_plain_computation(objective):
    model = objective.build_model().eval()
    held_out = objective.held_out
    masked = held_out["masked"]
    with torch.no_grad():
        logits = model(held_out["inputs"])[masked]
    labels = held_out["labels"][masked]
    expected = F.cross_entropy(logits, labels)
    ranks = (logits > logits.gather(1, labels[:, None])).sum(1)
    metrics = objective.evaluate(model)
    assert metrics["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert metrics["top1"] == pytest.approx((ranks == 0).float().mean().item(), abs=1e-6)
    assert metrics["top5"] == pytest.approx((ranks < 5).float().mean().item(), abs=1e-6)


def test_samples_show_the_hidden_words_in_order(objective):
    for sample in VIEW.samples(objective, objective.build_model().eval()):
        words = sample["masked"].split()
        assert words.count("[MASK]") == len(sample["answer"]) == len(sample["predictions"])
        for best in sample["predictions"]:
            chances = [chance for _, chance in best]
            assert chances == sorted(chances, reverse=True)


def test_the_evaluation_hides_each_word_by_itself_behind_the_mask_token(objective):
    """As in the reference: always the mask token, and independently for each word."""
    for batch in (objective.train_sample, objective.held_out):
        shown = batch["inputs"][batch["masked"]]
        assert (shown == objective.tokens.meta["special"]["mask"]).all()
        assert len(batch["masked"].sum(1).unique()) > 2


def test_micro_batches_count_by_their_hidden_words(objective):
    batch = objective.batch(0)
    parts = list(objective.micro_batches(0, 4))
    assert sum(map(objective.weight, parts)) == objective.weight(batch) == batch["masked"].sum()
    model = objective.build_model().eval()
    with torch.no_grad():
        whole, _ = objective.loss(model, batch)
        shares = [objective.loss(model, part)[0] * objective.weight(part) for part in parts]
    torch.testing.assert_close(sum(shares) / objective.weight(batch), whole)


def test_dropout_in_the_evaluation_is_on_where_the_measure_says_so(small, project, monkeypatch):
    prepare(small, "bert")
    raw = small.content()
    raw["model"]["dropout"] = 0.5
    objective = build("bert", validate(raw), 0, data_dir("bert"), CPU)
    model = objective.build_model().eval()
    noisy, again = (objective.evaluate(model)["train_loss"] for _ in range(2))
    assert noisy == again
    off = Measure("training", dropout=False, mean_over="hidden tokens")
    monkeypatch.setattr(type(objective), "measures", {"train_loss": off})
    assert objective.evaluate(model)["train_loss"] != noisy
    assert not model.training


def test_without_a_held_out_part_the_training_text_is_watched(small, project):
    raw = small.content()
    raw["bert"]["data"]["validation_fraction"] = 0.0
    params = validate(raw)
    prepare(params, "bert")
    objective = build("bert", params, 0, data_dir("bert"), CPU)
    model = objective.build_model().eval()
    assert objective.watched == "train_loss"
    assert objective.validate(model).keys() == {"train_loss"}
    assert objective.evaluate(model).keys() == {"train_loss", "baseline_train_loss"}
    assert VIEW.samples(objective, model)


def test_a_head_without_a_bias_starts_at_random(small, project):
    raw = small.content()
    raw["bert"]["model"] |= {"head_bias": False, "tie_embeddings": False}
    params = validate(raw)
    prepare(params, "bert")
    model = build("bert", params, 0, data_dir("bert"), CPU).build_model()
    assert model.head.decoder.bias is None


def test_the_log_line_is_the_references(objective):
    rows = [{"loss": 4.3901, "delta_w": 11.5094}]
    assert objective.line(9000, rows) == "it: 9000  | loss 4.39  | Δw: 11.509"


def test_a_vocabulary_smaller_than_the_guesses_is_shown_whole(small, project, request):
    (project / "text.txt").write_text("aye " * 200)
    objective = request.getfixturevalue("objective")
    model = objective.build_model().eval()
    assert objective.tokens.vocabulary_size == 4
    assert all(len(words) == 4 for words in VIEW.samples(objective, model)[0]["predictions"])
    assert objective.evaluate(model)["top5"] == 1.0
