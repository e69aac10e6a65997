"""Verdicts: what is better, and which comparisons count."""

import copy
from dataclasses import asdict

import pytest
import torch

import transformer
from pipeline.params import validate
from pipeline.reporting import targets, verdicts
from pipeline.results import Result, Training
from pipeline.tasks.causal_lm import CausalLM
from pipeline.tasks.image_classification import ImageClassification
from pipeline.tasks.masked_lm import MaskedLM
from tests.conftest import ROOT, with_profile
from tests.pipeline.reporting.handmade import TASKS
from transformer import flops_per_step
from transformer.selection import EVERY


@pytest.fixture
def reached(monkeypatch):
    monkeypatch.chdir(ROOT)
    return targets.load()


# As the objectives declare.
MEASURES = {
    "bert": {figure: asdict(each) for figure, each in MaskedLM.measures.items()},
    "gpt": {figure: asdict(each) for figure, each in CausalLM.measures.items()},
    "vit": {figure: asdict(each) for figure, each in ImageClassification.measures.items()},
}


def gpt(train_loss: float, loss: float, flops: float = 1e12, note: str | None = None) -> Result:
    metrics = {
        "train_loss": train_loss,
        "loss": loss,
        "baseline_train_loss": 6.6,
        "baseline_loss": 7.1,
        "flops": flops,
    }
    return result("gpt", {"note": note}, [metrics])


def result(name: str, data: dict, metrics: list[dict], measures: dict | None = None) -> Result:
    trainings = [Training(seed, each, None) for seed, each in enumerate(metrics)]
    measured = measures or MEASURES[name]
    return Result(name, TASKS[name], data, measured, trainings)


def like_the_reference(raw):
    raw["gpt"]["data"] |= {"text": "english", "tokenizer": "wordpiece"}
    return validate(raw)


def test_verdicts_that_are_like_for_like_count(raw, reached):
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


def test_a_larger_budget_does_not_count(raw, reached):
    judged = verdicts.judge(like_the_reference(raw), gpt(0.1, 1.0, 410e12), reached["gpt"])
    assert judged[0].differences == ["larger budget: 410 TFLOP, the reference 409 TFLOP"]
    assert str(judged[0]) == "(met)"


@pytest.fixture
def reference(raw):
    """The parameters of the profile `reference`, with only like-for-like comparisons."""
    return with_profile(raw, "reference")


def perfect(name: str, reached, measures: dict | None = None) -> Result:
    """A result that meets every target of the model."""
    metrics = {target.ours: target.value for target in reached[name].targets}
    metrics |= {target.baseline: 9.0 for target in reached[name].targets} | {"flops": 1e9}
    return result(name, {"note": None}, [metrics], measures)


CONDITIONS = [
    ("bert", "data.text", "tinyshakespeare"),
    ("bert", "data.tokenizer", "word"),
    ("bert", "data.sequence_length", 32),
    ("bert", "data.validation_fraction", 0.1),
    ("bert", "data.examples", "anywhere"),
    ("bert", "objective.evaluation_masking.fraction", 0.1),
    ("bert", "objective.evaluation_masking.selection", "exact"),
    ("bert", "objective.evaluation_masking.replacement", "mixed"),
    ("gpt", "data.text", "hamlet"),
    ("gpt", "data.tokenizer", "char"),
    ("gpt", "data.sequence_length", 128),
    ("gpt", "data.validation_fraction", 0.2),
    ("vit", "data.images", "mnist"),
]


def test_every_condition_of_the_targets_is_tried(reached):
    tried = {(name, path) for name, path, _ in CONDITIONS}
    named = {(name, path) for name, each in reached.items() for path in each.data | each.measure}
    assert tried == named


@pytest.mark.parametrize(("name", "path", "value"), CONDITIONS, ids=lambda value: str(value))
def test_a_condition_that_does_not_hold_puts_every_verdict_in_brackets(
    reference, reached, name, path, value
):
    def outcomes() -> set[str]:
        judged = verdicts.judge(validate(reference), perfect(name, reached), reached[name])
        return set(map(str, judged))

    assert outcomes() == {"met"}
    section = reference[name]
    *parts, last = path.split(".")
    for part in parts:
        section = section[part]
    section[last] = value
    assert outcomes() == {"(met)"}


@pytest.mark.parametrize("name", ["bert", "gpt", "vit"])
@pytest.mark.parametrize("key", ["split", "dropout", "mean_over"])
def test_a_figure_measured_in_another_way_stands_in_brackets(reference, reached, name, key):
    for target in reached[name].targets:
        measures = copy.deepcopy(MEASURES[name])
        measures[target.ours][key] = "something else"
        judged = verdicts.judge(
            validate(reference), perfect(name, reached, measures), reached[name]
        )
        assert {v.target.name for v in judged if not v.like_for_like} == {target.name}
        (changed,) = (verdict for verdict in judged if not verdict.like_for_like)
        said = f"{key.replace('_', ' ')} is something else, not {target.measure[key]}"
        assert changed.differences == [f"{target.ours}: {said}"]


def test_the_budgets_are_the_operations_of_the_references_recipe(reference, reached):
    """Counted by torch on the profile's models; the last block and the logits for every token."""
    params = validate(reference)
    sizes = {
        "bert": {"vocabulary_size": 23_948, "length": 20, "tie_embeddings": False},
        "gpt": {"vocabulary_size": 30_522, "length": 64, "tie_embeddings": False},
        "vit": {"image_size": 224, "patch_size": 16, "channels": 3, "classes": 3},
    }
    with torch.device("meta"):
        inputs = {
            "bert": torch.zeros(1, 20, dtype=torch.long),
            "gpt": torch.zeros(1, 64, dtype=torch.long),
            "vit": torch.zeros(1, 3, 224, 224),
        }
        for name, cost in ((name, each.cost) for name, each in reached.items()):
            model = getattr(transformer, name)(params.section(name).architecture, **sizes[name])
            unit, per_example = ("images", 1) if name == "vit" else ("tokens", inputs[name].numel())
            examples = cost.units(unit) / per_example
            counted = flops_per_step(model, inputs[name], EVERY) * examples
            assert cost.flops == pytest.approx(counted, rel=0.005), name


def test_a_classifier_with_one_answer_is_flagged():
    vit = result("vit", {}, [{"classes_predicted": 2}, {"classes_predicted": 1}])
    assert vit.one_class_only == [1]


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
