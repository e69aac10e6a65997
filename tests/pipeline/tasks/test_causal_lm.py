"""Next-token prediction: shifted labels, bits per byte, smoothing, the reference's log line."""

import math

import pytest
import torch
import torch.nn.functional as F

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.views.causal_lm import VIEW
from tests.conftest import build

CPU = torch.device("cpu")


@pytest.fixture
def objective(small):
    prepare(small, "gpt")
    return build("gpt", small, 0, data_dir("gpt"), CPU)


def test_labels_are_the_inputs_one_further(objective):
    batch = objective.batch(0)
    assert torch.equal(batch["inputs"][:, 1:], batch["labels"][:, :-1])


def test_windows_come_from_the_training_text_alone(objective):
    train = objective.tokens.train.unfold(0, 9, 1)
    windows = {tuple(window) for window in train.tolist()}
    batch = objective.batch(5)
    rows = torch.cat([batch["inputs"], batch["labels"][:, -1:]], dim=1).tolist()
    assert all(tuple(row) in windows for row in rows)


def test_metrics_equal_a_plain_computation(objective):
    model = objective.build_model().eval()
    text = objective.tokens.validation
    count = (len(text) - 1) // 8 * 8
    losses = []
    for start in range(0, count, 8):
        with torch.no_grad():
            logits = model(text[None, start : start + 8])[0]
        losses.append(F.cross_entropy(logits, text[start + 1 : start + 9]).item())
    metrics = objective.evaluate(model)
    mean = sum(losses) / len(losses)
    assert metrics["loss"] == pytest.approx(mean, rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
    meta = objective.tokens.meta
    bits = mean * meta["validation_tokens"] / math.log(2) / meta["validation_bytes"]
    assert metrics["bits_per_byte"] == pytest.approx(bits, rel=1e-5)


@pytest.mark.parametrize("towards", ["uniform", "unigram"])
def test_smoothing_is_a_distribution_of_its_share(raw, small, towards):
    prepare(small, "gpt")
    changed = small.content()
    changed["gpt"]["objective"] |= {"label_smoothing": 0.2, "smooth_towards": towards}
    objective = build("gpt", validate(changed), 0, data_dir("gpt"), CPU)
    assert objective.smoothing.sum().item() == pytest.approx(0.2)
    even = (objective.smoothing == objective.smoothing[0]).all()
    assert even == (towards == "uniform")


def test_without_smoothing_the_loss_is_plain_cross_entropy(small):
    prepare(small, "gpt")
    changed = small.content()
    changed["gpt"]["objective"]["label_smoothing"] = 0.0
    objective = build("gpt", validate(changed), 0, data_dir("gpt"), CPU)
    model, batch = objective.build_model().eval(), objective.batch(0)
    loss, _ = objective.loss(model, batch)
    logits = model(batch["inputs"]).flatten(0, 1)
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch["labels"].flatten()))


def test_samples_are_the_same_each_time(objective):
    model = objective.build_model().eval()
    assert VIEW.samples(objective, model) == VIEW.samples(objective, model)


def test_the_log_line_is_the_references(objective):
    assert objective.line(400, [{"loss": 0.51482}]) == "step        400 | loss 0.5148"
    line = objective.evaluation_line({"train_loss": 0.22913, "loss": 7.03402})
    assert line == "train loss 0.2291 | val loss 7.0340"


def test_a_held_out_text_shorter_than_a_prompt_is_the_whole_prompt(small, project, request):
    (project / "text.txt").write_text("aye nay " * 45)
    objective = request.getfixturevalue("objective")
    assert len(objective.tokens.validation) == 9  # one more than a sequence, the minimum
    (sample,) = VIEW.samples(objective, objective.build_model().eval())
    assert len(sample["prompt"].split()) == 9
    assert sample["continuation"]


def test_the_perplexity_of_a_model_that_has_diverged_is_a_number(objective):
    model = objective.build_model().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(3e3)
    metrics = objective.evaluate(model)
    assert metrics["loss"] > 1000
    assert math.isfinite(metrics["perplexity"])


def test_samples_show_words_that_the_vocabulary_does_not_have(objective):
    unknown = objective.tokens.tokenizer.token_to_id("[UNK]")
    objective.tokens.validation[::4] = unknown
    model = objective.build_model().eval()
    model.head.register_forward_hook(
        lambda head, given, logits: logits.index_fill(-1, torch.tensor(unknown), 1e4)
    )
    for sample in VIEW.samples(objective, model):
        assert sample["prompt"].count("[UNK]") == 4  # of 16 tokens
        assert set(sample["continuation"].split()) == {"[UNK]"}


def test_a_sampled_softmax_estimates_the_loss_with_fewer_operations(objective, small):
    changed = small.content()
    changed["gpt"]["train"]["batch_size"] = 1
    plain = build("gpt", validate(changed), 0, data_dir("gpt"), CPU)
    changed["gpt"]["objective"]["sampled_softmax"] = {"frequent": 2, "random": 4}
    sampled = build("gpt", validate(changed), 0, data_dir("gpt"), CPU)
    model, batch = plain.build_model(), plain.batch(0)
    whole, _ = plain.loss(model, batch)
    torch.manual_seed(0)
    estimates = torch.stack([sampled.loss(model, batch)[0] for _ in range(50)])
    assert estimates.unique().numel() > 1
    assert estimates.mean().item() == pytest.approx(whole.item(), rel=0.02)
    assert sampled.flops_per_step(model) < plain.flops_per_step(model)
    assert sampled.evaluate(model.eval()) == plain.evaluate(model)
