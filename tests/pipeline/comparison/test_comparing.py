import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison import comparing, experiments
from pipeline.comparison.comparing import UnclearError, compare, worse
from pipeline.comparison.revisions import find
from pipeline.errors import UserError
from pipeline.reporting import targets
from tests.conftest import ROOT
from tests.pipeline.comparison import handmade

GPT = "gpt.loss"


def compared(*names, model=None):
    return compare([experiments.read(each) for each in find(names)], model)


def words(comparison):
    return {(row.name, row.experiment): row.verdict for row in comparison.rows if row.verdict}


def noisy(mean, seeds=5, spread=0.1, seed=0):
    return list(np.random.default_rng(seed).normal(mean, spread, seeds))


@pytest.mark.parametrize(
    "metric, lower",
    [("loss", True), ("train_loss", True), ("accuracy", False), ("wer", True), ("top1", False)],
)
def test_better_and_worse_follow_the_direction_of_the_metric(repository, metric, lower):
    handmade.commit(repository, {"gpt": {metric: noisy(3)}})
    handmade.experiment(repository, "less", {"gpt": {metric: noisy(1, seed=1)}})
    handmade.experiment(repository, "more", {"gpt": {metric: noisy(9, seed=2)}})
    found = words(compared("HEAD", "less", "more"))
    assert found[f"gpt.{metric}", "less"] == ("better" if lower else "worse")
    assert found[f"gpt.{metric}", "more"] == ("worse" if lower else "better")


def test_every_metric_people_compare_by_has_a_direction_that_training_follows():
    """Training has improved each metric over that of a model that knows only frequencies."""
    directions = comparing.DIRECTIONS | {
        target.ours: target.better
        for each in targets.load(ROOT / targets.FILE).values()
        for target in each.targets
    }
    report = json.loads((ROOT / "reports" / "metrics.json").read_text())
    for name, model in report["models"].items():
        metrics = json.loads((ROOT / f"reports/{name}/metrics.json").read_text())[name]
        for metric in metrics:
            assert metric in directions
            trained, trivial = (model["metrics"].get(key) for key in (metric, f"baseline_{metric}"))
            if trivial is not None:
                assert (trained < trivial) == (directions[metric] == "lower"), metric


def test_the_targets_agree_on_the_direction_of_a_metric():
    found = {}
    for each in targets.load(ROOT / targets.FILE).values():
        for target in each.targets:
            assert found.setdefault(target.ours, target.better) == target.better


def test_a_metric_without_a_direction_is_reported(repository):
    handmade.commit(repository, {"gpt": {"novelty": [1.0, 2.0]}})
    handmade.experiment(repository, "other", {"gpt": {"novelty": [2.0, 2.0]}})
    with pytest.raises(UserError, match=r"gpt\.novelty: whether lower or higher is better"):
        compared()


def test_all_words_are_corrected_together(repository):
    """Nine metrics without a difference, and one whose p is 2%."""
    before = {"gpt": {"loss": [0.0, 0.0, 0.0]}, "vit": {"accuracy": [0.5, 0.6, 0.7]}}
    handmade.commit(repository, before)
    for index in range(4):
        after = {"gpt": {"loss": [1.0, 1.3, 0.85]}, "vit": {"accuracy": noisy(0.6, 3, seed=index)}}
        handmade.experiment(repository, f"try-{index}", after)
    alone = compared("HEAD", "try-0", model="gpt")
    assert alone.tested == 1 and words(alone)[GPT, "try-0"] == "worse"
    together = compared()
    assert together.tested == 8
    (row,) = (r for r in together.rows if (r.name, r.experiment) == (GPT, "try-0"))
    p = stats.ttest_rel([1.0, 1.3, 0.85], [0.0, 0.0, 0.0]).pvalue
    assert row.seen.p == pytest.approx(p)
    assert row.p == pytest.approx(8 * p) and p < 0.05 < 8 * p
    assert row.word == "no difference seen"
    assert row.seeds_needed > 3


def test_other_seeds_are_compared_by_welch(repository):
    handmade.experiment(repository, "more-seeds", {"gpt": {"loss": noisy(5.1)}})
    row = compared().rows[1]
    expected = stats.ttest_ind(noisy(5.1), handmade.LOSSES, equal_var=False)
    assert not row.seen.paired
    assert row.seen.p == pytest.approx(expected.pvalue)


def test_one_run_cannot_tell(repository):
    handmade.commit(repository, {"gpt": {"loss": [5.0]}})
    handmade.experiment(repository, "one", {"gpt": {"loss": [1.0]}})
    handmade.experiment(repository, "two", {"gpt": {"loss": [1.0, 2.0]}})
    found = compared("HEAD", "one", "two")
    assert found.tested == 0
    assert words(found) == {
        (GPT, "one"): "one run each: cannot be told",
        (GPT, "two"): "one run: cannot be told",
    }


def test_the_same_weights_are_not_tested(repository):
    both = {"gpt": {"loss": [5.0, 6.0]}, "vit": {"accuracy": [0.5, 0.6]}}
    handmade.commit(repository, both)
    handmade.experiment(repository, "other", both | {"gpt": {"loss": [5.0, 6.1]}})
    found = compared()
    assert words(found)["vit.accuracy", "other"] == "the same weights"
    assert (found.tested, found.unchanged) == (1, ["vit"])


def test_equal_values_of_other_weights_are_not_the_same_weights(repository):
    handmade.experiment(repository, "other", weights="other")
    assert words(compared()) == {(GPT, "other"): "no deviation: cannot be told"}


def test_brackets_name_what_differs(repository):
    handmade.experiment(repository, "other", {"gpt": {"loss": [1, 1.1, 1.3]}},
                        {"gpt.data.text": "shakespeare"})  # fmt: skip
    found = compared()
    assert found.rows[1].unlike == ["gpt.data.text is shakespeare, not hamlet"]
    assert words(found)[GPT, "other"].startswith("(")


def test_a_model_that_only_some_have_is_not_compared(repository):
    both = {"gpt": {"loss": [5.0, 6.0]}, "vit": {"accuracy": [0.5, 0.6]}}
    handmade.experiment(repository, "both", both)
    assert {row.name for row in compared("HEAD", "both").rows} == {GPT}
    assert {row.name for row in compared("both", "HEAD").rows} == {GPT}
    handmade.experiment(repository, "without", {"vit": {"accuracy": [0.5, 0.6]}})
    for names, model in ((("HEAD", "both"), "vit"), (("HEAD", "without"), None)):
        with pytest.raises(UserError, match="of HEAD to compare; in common with others: "):
            compared(*names, model=model)


def test_the_pareto_front_leaves_out_what_is_not_like_for_like(repository):
    def losses(mean):
        return {"gpt": {"loss": [mean, mean + 0.1, mean + 0.3]}}

    handmade.experiment(repository, "larger", losses(4.0), flops=2 * 10**12)
    handmade.experiment(repository, "wasteful", losses(4.5), flops=3 * 10**12)
    handmade.experiment(repository, "easier", losses(1.0), {"gpt.data.text": "other"}, flops=10)
    marks = {row.experiment: row.on_front for row in compared().rows}
    assert marks == {"HEAD": True, "larger": True, "wasteful": False, "easier": False}


def test_a_guard_finds_what_is_worse_in_its_metrics_alone(repository):
    handmade.commit(repository, {"gpt": {"loss": noisy(5), "accuracy": noisy(0.5)}})
    handmade.experiment(
        repository, "other", {"gpt": {"loss": noisy(7, seed=1), "accuracy": noisy(9, seed=1)}}
    )
    found = compared()
    assert [row.experiment for row in worse(found, [GPT])] == ["other"]
    assert worse(found, ["gpt.accuracy"]) == worse(found, []) == []
    with pytest.raises(UnclearError, match=r"no metric gpt\.los; known: gpt\.accuracy and gpt\.l"):
        worse(found, [GPT, "gpt.los"])


def test_an_unclear_metric_is_no_pass(repository):
    handmade.experiment(repository, "one", {"gpt": {"loss": [5.0]}})
    handmade.experiment(repository, "easier", {"gpt": {"loss": noisy(1)}}, fingerprint="other")
    handmade.experiment(repository, "constant", weights="other")
    for name, reason in (
        ("one", "one run: cannot be told; train both with several seeds"),
        ("easier", "not comparable: gpt: the prepared data differ"),
        ("constant", "no deviation"),
    ):
        with pytest.raises(UnclearError, match=f"gpt.loss of {name} and HEAD: {reason}"):
            worse(compared(name), [GPT])


def test_an_experiment_without_the_metric_is_no_pass(repository):
    handmade.experiment(repository, "better", {"gpt": {"loss": noisy(1)}})
    handmade.experiment(repository, "other", {"vit": {"accuracy": noisy(0.5)}})
    with pytest.raises(UnclearError, match=r"no gpt\.loss of other"):
        worse(compared("HEAD", "better", "other"), [GPT])


def test_a_worse_metric_counts_beside_an_unclear_one(repository):
    handmade.experiment(repository, "one", {"gpt": {"loss": [5.0]}})
    handmade.experiment(repository, "bad", {"gpt": {"loss": noisy(9)}})
    assert [row.experiment for row in worse(compared("HEAD", "one", "bad"), [GPT])] == ["bad"]


def test_the_workspace_is_compared_with_head(repository):
    handmade.write(repository, {"gpt": {"loss": [9.0, 9.1, 9.2]}})
    assert words(compared("workspace")) == {(GPT, "workspace"): "worse"}
    assert Path("reports/metrics.json").exists()
