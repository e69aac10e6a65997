"""metrics.md as a whole: its content, and the grammar of its numbers."""

import dataclasses
import re

import pytest

from pipeline.errors import UserError
from pipeline.params import validate
from pipeline.reporting import markdown, pictures, targets, time_to_target, verdicts
from tests.conftest import ROOT, WITH_TARGETS
from tests.pipeline.reporting import handmade
from tests.pipeline.reporting.handmade import result


@pytest.fixture
def render(raw, monkeypatch):
    """The report on artificial results."""
    monkeypatch.chdir(ROOT)
    params = validate(raw)

    def rendered(*results) -> str:
        made = {each.name: each for each in results}
        reached = targets.about({name: each.data for name, each in made.items()})
        for name, wanted in reached.items():
            made[name].time_to_target = time_to_target.reached(made[name].trainings, wanted)
        judged = verdicts.judge_all(params, made, reached)
        return markdown.render(handmade.report(made, judged), params, "default", reached)

    return rendered


def change(made, **metrics):
    """The same result with other metrics; a list has a value for each seed."""
    for index, training in enumerate(made.trainings):
        for key, value in metrics.items():
            training.metrics[key] = value[index] if isinstance(value, list) else value
    return made


def row(report: str, label: str) -> str:
    """The second cell of the first row that begins with `label`."""
    (found,) = re.findall(rf"^\| {re.escape(label)} \| (.*) \|$", report, re.MULTILINE)[:1]
    return found


def test_the_title_names_the_models_of_the_report(render):
    first, *_ = render(*map(result, WITH_TARGETS)).splitlines()
    assert first == "# One Transformer, trained as BERT, GPT and ViT"
    assert render(result("gpt")).startswith("# One Transformer, trained as GPT\n")


def test_the_report_says_what_the_reference_is(render):
    report = render(*map(result, WITH_TARGETS))
    assert "a public write-up of a course's exercise" in report
    assert "[piygr/s17erav1](https://github.com/piygr/s17erav1)" in report
    assert "pipeline/data/registry.py" in report and "no licence" in report


@pytest.mark.parametrize(
    ("epochs", "text"),
    [(1.0, "(1 epoch)"), (1.0004, "(1 epoch)"), (0.0125, "(0.0125 epochs)"), (2.0, "(2 epochs)"),
     (1234.0, "(1,230 epochs)")],
)  # fmt: skip
def test_one_epoch_is_singular_and_many_have_no_exponent(render, epochs, text):
    made = change(result("gpt"), epochs=epochs)
    assert text in render(result("bert"), made, result("vit"))


def test_one_core_and_one_seed_are_singular(render):
    report = render(*map(result, WITH_TARGETS))
    assert ", 1 core, " in row(report, "processor")
    assert "of 1 seed |" in report
    assert not re.search(r"\b1 (seeds|cores|epochs|steps|verdicts|targets|test images)\b", report)


RECORD = {
    "finished": "2026-01-01", "device": "a GPU", "git_commit": None, "dvc_process": None,
    "this_repro": False, "mlflow_run_id": None, "seconds": {"train": 1.0}, "throughput": 1.0,
    "unit": "tokens", "marks": {},
}  # fmt: skip


def recorded(**content):
    """A result with a record of its training."""
    made = result("gpt")
    made.trainings[0] = dataclasses.replace(made.trainings[0], record=RECORD | content)
    return made


@pytest.mark.parametrize(
    ("dvc_process", "this_repro", "said"),
    [
        ("7@1.0", True, "trained in this run"),
        ("7@1.0", False, "restored from DVC's cache, trained 2026-01-01"),
        (None, False, "trained 2026-01-01"),  # by the commands of the stages, without DVC
    ],
)
def test_the_report_says_where_a_model_comes_from(render, dvc_process, this_repro, said):
    made = recorded(dvc_process=dvc_process, this_repro=this_repro)
    report = render(result("bert"), made, result("vit"))
    assert f"Seed 0: {said} on a GPU; no MLflow run." in report


@pytest.mark.parametrize(
    ("peak", "said"),
    [
        ({}, "FLOP/s"),  # of a run before it was measured
        ({"peak": None}, "FLOP/s"),
        ({"peak": 4.0}, "FLOP/s, 50% of a large product's 4 FLOP/s with the same kernels"),
    ],
)
def test_the_throughput_is_a_share_of_what_the_machine_can(render, peak, said):
    made = change(recorded(seconds={"train": 10.0}, **peak), flops=20)
    shown = row(render(result("bert"), made, result("vit")), "throughput while training")
    assert shown == f"1 tokens/s, 2 {said}"


def test_a_count_that_differs_between_seeds_is_a_range_and_no_fraction(render):
    vit = change(result("vit", seeds=2), classes_predicted=[9, 10])
    report = render(result("bert", 2), result("gpt", 2), vit)
    assert row(report, "different classes predicted") == "9 to 10"


def test_small_deviations_and_differences_are_not_zero(render):
    three = [4.3, 4.300021, 4.3]
    bert = change(result("bert", seeds=3), train_loss=three)
    report = render(bert, result("gpt", 3), result("vit", 3))
    (line,) = (line for line in report.splitlines() if line.startswith("| BERT | loss | 4.3000 |"))
    _, _, _, ours, deviation, difference, *_ = line.split(" | ")
    assert (ours, deviation, difference) == ("4.3000 ± 0.00003", "0.000012", "+0.0000070")
    assert row(report, "training loss") == "4.3000 (standard deviation 0.000012)"


def test_equal_seeds_deviate_by_nothing(render):
    bert = change(result("bert", seeds=3), train_loss=4.0)
    report = render(bert, result("gpt", 3), result("vit", 3))
    assert row(report, "training loss") == "4.0000 for each seed"
    assert "| BERT | loss | 4.3000 | 4.0000 ± 0 | 0 | -0.3000 |" in report


def test_the_mistakes_of_a_classifier_are_counted(render):
    made = result("vit", images=30)  # every third prediction is wrong
    report = render(result("bert"), result("gpt"), made)
    assert "The model is wrong on 10 of 30 test images." in report
    assert "Mistakes come first, the 6 with the highest probability" in report
    for picture in ("vit.png", "vit-confusion.png", "vit-predictions.png"):
        assert f"(pictures/{picture})" in report


def test_only_what_is_like_for_like_is_compared_in_cost(render, monkeypatch):
    """Fewer operations on digits say nothing about photographs."""
    bert = result("bert")
    bert.trainings[0].evaluations["train_loss"] -= 1.0  # reaches the target
    results = (bert, result("gpt"), result("vit"))
    report = render(*results)
    assert "Target reached (in brackets) after " in report
    assert "times fewer" not in report
    judge = verdicts.judge

    def alike(*arguments):
        return [dataclasses.replace(each, differences=[]) for each in judge(*arguments)]

    monkeypatch.setattr(verdicts, "judge", alike)
    report = render(*results)
    assert "Target reached after " in report
    assert "Compared with the reference's whole training, that is " in report
    assert report.count("times fewer") >= 4  # units and operations, in the sentence and the table


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["vit"], "class"),
        (WITH_TARGETS, "word, token or class"),
        (["gpt", "vit", "g2p"], "token, class or sound"),
    ],
)
def test_the_trivial_baseline_is_that_of_the_models_of_the_report(render, names, known):
    baseline = f"- The trivial baseline knows only {known} frequencies, unless "
    assert baseline in render(*map(result, names))


TARGET_IN_WORDS = """\
g2p:
  data: {data.dictionary: cmudict}
  measure: {}
  cost: {steps: 400, words: 150000, flops: 1_500_000_000_000}
  targets:
    - name: validation loss
      value: 2.0
      better: lower
      source: a paper
      measured: over a split
      ours: loss
      how: over a split
      measure: {split: a split}
      baseline: baseline_loss
"""


def test_a_target_in_words_is_reported_in_words(render, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets.FILE.parent.mkdir()
    targets.FILE.write_text(TARGET_IN_WORDS)
    report = render(result("g2p"))
    assert "**1 of 1 target met, like for like.**" in report
    assert "that is 10 times fewer words and 2 times fewer floating-point operations." in report
    assert "| step | after | words | operations |" in report
    assert "words and operations are compared with those" in report
    assert "G2P 400 steps, 150,000 words, 1.5 TFLOP." in report
    assert "No published result is a target" not in report
    monkeypatch.chdir(ROOT)
    assert "No published result is a target" in render(result("g2p"))


def test_a_target_in_another_unit_than_its_model_counts_is_refused(render, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets.FILE.parent.mkdir()
    targets.FILE.write_text(TARGET_IN_WORDS.replace("words:", "tokens:"))
    with pytest.raises(UserError, match=r"targets.yaml: the cost tokens: 150000 .* counts words"):
        render(result("g2p"))


def test_data_that_no_target_is_about_get_no_target(render):
    report = render(result("bert"), result("gpt", own=True), result("vit"))
    assert "- **GPT**: no targets for these data: a title." in report
    assert "| BERT | loss |" in report and "| GPT | " not in report.split("## Data")[0]
    report = render(*(result(name, own=True) for name in WITH_TARGETS))
    assert "**There are no targets for these data.**" in report
    assert "| verdict |" not in report and "time to target" not in report


@pytest.mark.parametrize(
    ("without", "shown"),
    [
        ((), "held-out loss (nats) 1.6698"),
        (("loss", "top1"), "training loss 1.6533"),  # a text without a held-out part
    ],
)
def test_a_model_without_targets_shows_its_first_metric(render, without, shown):
    large = dataclasses.replace(result("bert", without=without), name="bert_large")
    assert f"- **BERT large**: no targets; {shown}. Data: a title." in render(large)


def test_curves_of_such_data_stand_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (file,) = pictures.draw(result("gpt", own=True), None, tmp_path)
    assert file.stat().st_size > 10_000
