"""Verdicts: who is better, and which comparisons count."""

import pandas as pd
import pytest

from pipeline.params import validate
from pipeline.reporting import targets, verdicts
from pipeline.reporting.results import Result, Training
from tests.conftest import ROOT


@pytest.fixture
def reached(monkeypatch):
    monkeypatch.chdir(ROOT)
    return targets.load()


def gpt(train_loss: float, loss: float, tokens: int = 1_024_000, note: str | None = None) -> Result:
    figures = {
        "train_loss": train_loss,
        "loss": loss,
        "baseline_train_loss": 6.6,
        "baseline_loss": 7.1,
        "unit": "tokens",
        "tokens": tokens,
    }
    return result("gpt", {"note": note}, [figures])


def result(name: str, data: dict, figures: list[dict]) -> Result:
    trainings = [Training(seed, each, None) for seed, each in enumerate(figures)]
    empty = pd.DataFrame()
    return Result(name, data, trainings, figures[0], empty, empty, [])


def like_the_reference(raw):
    raw["gpt"]["data"] |= {"text": "english", "tokenizer": "wordpiece"}
    return validate(raw)


def test_like_for_like(raw, reached):
    train, held_out = verdicts.judge(like_the_reference(raw), gpt(0.2, 7.1), reached["gpt"])
    assert (train.met, train.like_for_like, train.differences) == (True, True, [])
    assert (held_out.met, held_out.like_for_like) == (False, True)
    assert held_out.difference == pytest.approx(0.066)
    assert held_out.baseline == 7.1
    assert verdicts.tally([train, held_out]) == (1, 2)


def test_equal_is_met(raw, reached):
    both = verdicts.judge(like_the_reference(raw), gpt(0.2291, 7.0340), reached["gpt"])
    assert all(verdict.met for verdict in both)


def test_higher_is_better_for_an_accuracy(reached):
    accuracy = reached["vit"].targets[3]
    for ours, met in ((0.55, True), (0.5, False)):
        assert verdicts.Verdict("vit", accuracy, [ours], 0.26, []).met is met


def test_other_data_do_not_count(raw, reached):
    other = gpt(0.1, 1.0, note="another text of about the same size")
    judged = verdicts.judge(validate(raw), other, reached["gpt"])
    assert all(verdict.met and not verdict.like_for_like for verdict in judged)
    assert judged[0].differences == ["another text of about the same size"]
    assert verdicts.tally(judged) == (0, 0)


def test_other_tokens_and_a_larger_budget_do_not_count(raw, reached):
    raw["gpt"]["data"]["sequence_length"] = 128
    judged = verdicts.judge(like_the_reference(raw), gpt(0.1, 1.0, 2_000_000), reached["gpt"])
    assert judged[0].differences == [
        "data.sequence_length is 128, not 64",
        "longer: 2,000,000 tokens, the reference 1,024,000",
    ]


def test_a_classifier_with_one_answer_is_flagged():
    vit = result("vit", {}, [{"classes_predicted": 2}, {"classes_predicted": 1}])
    assert verdicts.one_class_only(vit) == [1]


def test_several_seeds_are_judged_by_their_confidence_interval(reached):
    """By hand: 1, 2 and 3 have mean 2 and deviation 1; t for 2 degrees of freedom is 4.30265."""
    loss = reached["gpt"].targets[1]

    def verdict(value):
        target = loss.model_copy(update={"value": value})
        return verdicts.Verdict("gpt", target, [1.0, 2.0, 3.0], 9.0, [])

    assert verdict(2.0).ours == 2.0
    assert verdict(2.0).deviation == 1.0
    assert verdict(2.0).margin == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    outcomes = [verdict(value).outcome for value in (4.49, 4.48, 2.0, -0.48, -0.49)]
    assert outcomes == ["met", "undecided", "undecided", "undecided", "not met"]
    assert not verdict(2.0).met


def test_one_seed_has_no_margin(reached):
    verdict = verdicts.Verdict("gpt", reached["gpt"].targets[1], [7.0], 9.0, [])
    assert (verdict.margin, verdict.deviation, verdict.outcome) == (0.0, None, "met")
