"""`verify` finds contradictions inside a report without training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.paths import model_dir
from pipeline.tasks.assembly import assemble
from pipeline.training.loop import NoCheckpoint
from pipeline.training.observer import Observer
from pipeline.verification import derived, recorded, verify
from tests.pipeline.verification.reports import (
    METRICS,
    REPORT,
    printed,
    rewrite,
)


def everywhere(metric: str, factor: float):
    """Change a metric of GPT everywhere in metrics.json except the verdicts."""

    def change(content):
        gpt = content["models"]["gpt"]
        for metrics in (gpt["metrics"], *(training["metrics"] for training in gpt["trainings"])):
            metrics[metric] *= factor

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(targets_met=9), "targets_met: 9 recorded, 0 by the metrics"),
        (lambda c: c.update(profile="best"), "profile: 'best' recorded, 'default' by"),
        (
            lambda c: c["models"]["vit"].update(one_class_only=[7]),
            "one_class_only: [7] recorded, [",
        ),
        (lambda c: c["verdicts"].pop(), ": none recorded, "),
        (lambda c: c["verdicts"][1].update(met=True), "gpt training loss.met: True recorded, F"),
        (lambda c: c["verdicts"][1].update(ours=0.1), "gpt training loss.ours: 0.1 recorded, "),
        (
            lambda c: c["verdicts"][1]["target"].update(value=9),
            "training loss.target.value: 9 recorded, 0.2291 b",
        ),
        (
            lambda c: c["models"]["gpt"]["metrics"].update(loss=0.1),
            "models.gpt.metrics.loss: 0.1 recorded, ",
        ),
        (everywhere("loss", 0.9), "gpt validation loss.ours: "),
        (everywhere("closing_loss", 0.9), "      the report contradicts itself: closing_loss: "),
        (
            lambda c: c["models"]["gpt"]["measures"]["loss"].update(dropout=True),
            "the report contradicts itself: measure of loss: ",
        ),
        (everywhere("parameters", 2), "      the report contradicts itself: parameters: "),
        (
            lambda c: [t["metrics"].pop("loss") for t in c["models"]["gpt"]["trainings"]],
            "a training has no metric 'loss', which means or verdicts need",
        ),
    ],
)
def test_a_contradiction_in_metrics_json_is_printed(reported, capsys, change, said):
    rewrite(change)
    capsys.readouterr()
    assert not verify(REPORT, "gpt", 1)
    out = printed(capsys)
    assert said in out
    assert "gpt   identical: 1 step\n" in out


def test_a_wrong_time_to_target_is_printed(reported, capsys):
    def sooner(content):
        content["models"]["gpt"]["time_to_target"]["loss"][0] = {
            "step": 1, "units": 1, "flops": 1, "seconds": None,
        }  # fmt: skip

    rewrite(sooner)
    assert not verify(REPORT, "gpt", None)
    assert "the report contradicts itself: time to target, loss: " in printed(capsys)


def test_data_without_targets_need_no_verdicts(reported, capsys):
    def own(content):
        model = content["models"]["gpt"]
        model["data"]["own"], model["time_to_target"] = True, {}
        content["verdicts"] = [each for each in content["verdicts"] if each["model"] != "gpt"]

    rewrite(own)
    assert verify(REPORT, "gpt", None)
    rewrite(lambda content: content["models"]["gpt"]["data"].update(own=False))
    assert not verify(REPORT, "gpt", 1)
    assert "verdicts.gpt training loss.met: none recorded, " in printed(capsys)


def test_wrong_metrics_for_dvc_are_printed(reported, capsys):
    file = REPORT / "gpt" / "metrics.json"
    content = json.loads(file.read_text())
    content["gpt"] |= {"loss": 0.1, "train_loss_std": 0.5}
    file.write_text(json.dumps(content))
    assert not verify(REPORT, "gpt", 1)
    out = printed(capsys)
    assert f"the report contradicts itself: {file}: loss: 0.1 recorded, " in out
    assert f"the report contradicts itself: {file}: train_loss_std: 0.5 recorded, " in out
    for text in ("[]", '{"gpt": {"loss": "low"}}', "{"):
        file.write_text(text)
        with pytest.raises(UserError, match=r"gpt/metrics.json: not "):
            verify(REPORT, "gpt", 1)


def test_the_best_evaluation_of_a_single_seed_is_checked(reported):
    """It follows from the curves of one seed, but not from means over several."""
    report, _, params = recorded.read(METRICS)
    model, kept = report.models["gpt"], model_dir("gpt", 0)
    curves = [recorded.curve(kept / file) for file in ("history.csv", "validation.csv")]
    again = assemble(params, "gpt", 0, Path("data/gpt")).train(NoCheckpoint(), Observer(), 1)
    single = replace(model, trainings=model.trainings[:1])
    assert derived.curve_contradictions(single, *curves, again.summary) == []
    single.trainings[0].metrics["best_loss"] -= 0.1
    [line] = derived.curve_contradictions(single, *curves, again.summary)
    assert line.startswith("best_loss: ")
