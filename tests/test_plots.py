"""`dvc plots`, drawn by Vega: the curves, their colours and their axes."""

import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import vl_convert

from tests import repository
from tests.conftest import MODELS
from tests.pipeline.reporting.handmade import result

BERT, GPT = "BERT beside the reference", "GPT beside the reference"
VIT = tuple(f"ViT beside the reference, {kind}" for kind in ("loss", "accuracy"))
CONFUSION = "ViT confusion"


def write_curves(folder: Path, scale: float = 1.0, without: tuple[str, ...] = ()) -> None:
    """Write curves of all models, like those of `train`, with values multiplied by `scale`."""
    for name in MODELS:
        training = result(name, without=without if name == "bert" else ()).trainings[0]
        for kind, rows in (("history", training.history), ("validation", training.evaluations)):
            seen = rows[rows.columns[:2]]
            metrics = rows[rows.columns[2:]] * scale
            if kind == "history":
                metrics = metrics.assign(grad_norm=scale)
            pd.concat([seen, metrics], axis=1).to_csv(
                folder / "reports" / name / f"{kind}.csv", index=False
            )


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    folder = repository.make(tmp_path_factory.mktemp("clone") / "benchmark")
    write_curves(folder)
    answers = "seed,actual,predicted\n0,a,a\n0,b,a\n1,a,a\n1,b,b\n"
    (folder / "reports" / "pictures" / "vit-confusion.csv").write_text(answers)
    repository.save(folder, "curves")
    return folder


def drawn(folder: Path, *command: str) -> dict[str, str]:
    """The plots as SVG, by name."""
    output = repository.run(folder, "dvc", "plots", *command, "--json")
    found = json.loads(output[output.index("{") :])  # after a warning, if there is one
    assert not found.get("errors")
    return {
        name: vl_convert.vegalite_to_svg(plot[0]["content"]) for name, plot in found["data"].items()
    }


def lines(svg: str) -> list[tuple[str, str, str]]:
    """Name, revision and colour of each line."""
    marks = re.findall(r"<path [^>]*line mark[^>]*>", svg)
    patterns = (r"; curve: ([^;\"]+)", r"; rev: ([^;\"]+)", r'stroke="([^"]+)"')
    return [tuple(re.search(pattern, mark)[1] for pattern in patterns) for mark in marks]


def test_every_curve_has_a_colour_of_its_own(clone):
    plots = drawn(clone, "show")
    expected = {
        BERT: {"bert/history.csv::loss", "bert/validation.csv::train_loss",
               "bert/validation.csv::loss", "reference/bert.csv::loss"},
        VIT[1]: {"vit/validation.csv::closing_accuracy", "vit/validation.csv::batch_accuracy",
                 "reference/vit.csv::train_accuracy", "reference/vit.csv::test_accuracy"},
    }  # fmt: skip
    for name, curves in expected.items():
        colors = {curve: color for curve, _, color in lines(plots[name])}
        assert colors.keys() == curves
        assert len(set(colors.values())) == len(colors)


def test_a_comparison_has_ours_twice_and_the_reference_once(clone):
    write_curves(clone, scale=0.9)
    plots = drawn(clone, "diff", "HEAD", "workspace")
    for name in (BERT, GPT, *VIT):
        counts = Counter(curve for curve, _, _ in lines(plots[name]))
        for curve, count in counts.items():
            assert count == (1 if curve.startswith("reference") else 2), (name, curve)
        # A curve keeps its colour; revisions differ in their dashes.
        assert len({(curve, color) for curve, _, color in lines(plots[name])}) == len(counts)


def test_curves_run_over_what_was_seen_whatever_the_size_of_a_step(clone):
    plots = drawn(clone, "show")
    axes = {
        BERT: "tokens seen", GPT: "tokens seen", VIT[0]: "images seen",
        "reports/g2p/validation.csv": "tokens, images or words seen",
    }  # fmt: skip
    for name, axis in axes.items():
        (title,) = re.findall(r"X-axis titled '([^']+)' for a log scale", plots[name])
        assert title == axis
        assert lines(plots[name])
    # 40 steps of 500 tokens.
    marks = re.findall(r'aria-label="tokens seen: (\w+); [^"]*curve: gpt/validation', plots[GPT])
    assert "20k" in marks


def test_a_text_without_a_held_out_part_has_plots(clone):
    write_curves(clone, without=("loss", "top1"))
    plots = drawn(clone, "show")
    curves = {curve for curve, _, _ in lines(plots[BERT])}
    assert "bert/validation.csv::train_loss" in curves
    assert "bert/validation.csv::loss" not in curves
    assert lines(plots["reports/bert/validation.csv"])


def test_the_confusion_matrix_counts_the_answers_of_all_seeds(clone):
    label = r"predicted class: (\w); true class: (\w); xy_count: (\d)"
    counts = {(p, t): int(n) for p, t, n in re.findall(label, drawn(clone, "show")[CONFUSION])}
    assert counts == {("a", "a"): 2, ("a", "b"): 1, ("b", "b"): 1, ("b", "a"): 0}
