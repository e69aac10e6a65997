"""Learning curves: contents and readability."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from pipeline.reporting import curves, targets
from tests.conftest import ROOT, WITH_TARGETS
from tests.pipeline.reporting.handmade import result


@pytest.fixture
def reached(monkeypatch):
    monkeypatch.chdir(ROOT)
    return targets.load()


@pytest.fixture
def drawn(reached):
    """Draw a result into a figure with the saved layout."""

    def draw(made):
        figure = plt.figure()
        curves.draw(figure, made, reached[made.name])
        figure.draw_without_rendering()
        return figure

    yield draw
    plt.close("all")


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def horizontal(axes) -> dict[float, str]:
    """Heights and colours of the horizontal lines."""
    lines = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    return {line.get_ydata()[0]: to_hex(line.get_color()) for line in lines}


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_every_target_is_a_line_in_the_panel_of_its_figure(drawn, reached, name):
    axes = drawn(result(name)).axes
    lines = {height for panel in axes for height in horizontal(panel)}
    assert {target.value for target in reached[name].targets} <= lines
    for panel in axes:  # and each panel has one
        assert any(target.value in horizontal(panel) for target in reached[name].targets)


def test_a_model_with_targets_needs_no_curve_of_the_reference(reached):
    second = dataclasses.replace(result("bert"), name="bert_large")
    figure = plt.figure()
    curves.draw(figure, second, reached["bert"])
    assert figure.get_suptitle().startswith("BERT large: ")
    assert reached["bert"].targets[0].value in horizontal(figure.axes[0])
    plt.close(figure)


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_a_target_has_the_colour_of_the_curve_that_is_compared_with_it(drawn, reached, name):
    made = result(name)
    for panel in drawn(made).axes:
        ends = {line.get_ydata()[-1]: to_hex(line.get_color()) for line in panel.lines}
        for target in reached[name].targets:
            if target.value in horizontal(panel):
                ours = made.trainings[0].evaluations[target.ours].iloc[-1]
                assert ends[ours] == horizontal(panel)[target.value]


@pytest.mark.parametrize("name", WITH_TARGETS)
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_label_lies_over_the_panel_or_another_label(drawn, name, seeds):
    figure = drawn(result(name, seeds))
    for panel in figure.axes:
        inside = panel.get_window_extent()
        boxes = [text.get_window_extent() for text in panel.texts]
        assert len(boxes) >= 3
        assert not any(box.overlaps(inside) for box in boxes)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert not any(box.overlaps(figure.legends[0].get_window_extent()) for box in boxes)


def test_all_models_are_drawn_on_the_same_kind_of_axis(drawn):
    panels = [panel for name in WITH_TARGETS for panel in drawn(result(name)).axes]
    assert {(panel.get_xscale(), panel.get_yscale()) for panel in panels} == {("log", "linear")}
    assert {panel.get_xlabel() for panel in panels} == {"tokens seen", "images seen"}


def test_curves_run_over_the_tokens_seen_ours_and_the_references(drawn):
    (axes,) = drawn(result("gpt")).axes
    ends = {line.get_label(): line.get_xdata()[-1] for line in axes.lines}
    assert ends["validation text"] == 20_000
    assert ends["the reference: training batches"] == 499 * 32 * 64


def test_several_seeds_are_a_mean_and_a_band_and_the_legend_says_so(drawn):
    made = result("gpt", seeds=3)
    figure = drawn(made)
    losses = np.stack([training.evaluations["loss"] for training in made.trainings])
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert lines["validation text"] == pytest.approx(losses.mean(axis=0))
    bands = [band.get_paths()[0].get_extents() for band in figure.axes[0].collections]
    assert any(
        (band.ymin, band.ymax) == (pytest.approx(losses.min()), pytest.approx(losses.max()))
        for band in bands
    )
    assert "line: mean of 3 seeds; band: lowest to highest" in legend(figure)


def test_a_single_evaluation_has_a_band_too(drawn):
    made = result("vit", seeds=3, evaluations=1)
    losses = [training.evaluations["batch_loss"].iloc[0] for training in made.trainings]
    bands = [band.get_paths()[0].get_extents() for band in drawn(made).axes[0].collections]
    assert [min(losses), max(losses)] in [pytest.approx([b.ymin, b.ymax]) for b in bands]


def test_one_seed_has_no_band(drawn):
    figure = drawn(result("gpt"))
    assert not figure.axes[0].collections
    assert not any("band" in text for text in legend(figure))


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_a_single_evaluation_is_a_point(drawn, name):
    for panel in drawn(result(name, evaluations=1)).axes:
        single = [line for line in panel.lines if len(line.get_xdata()) == 1]
        assert len(single) >= 4  # two curves and their final results
        assert all(line.get_marker() not in ("", "None", None) for line in single)


def test_what_the_verdict_compares_is_marked_and_named(drawn):
    made = result("bert")
    (axes,) = drawn(made).axes
    final = made.metrics["train_loss"]
    marked = [line for line in axes.lines if line.get_marker() == "D"]
    assert final in [line.get_ydata()[0] for line in marked]
    assert f"ours {final:.4f}" in [text.get_text() for text in axes.texts]


def test_a_text_without_a_held_out_part_has_no_such_curve(drawn):
    figure = drawn(result("bert", without=("loss", "top1")))
    assert "held-out text" not in legend(figure)
    assert "training text, measured like the target" in legend(figure)


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([], []),
        ([0.5], [0.5]),
        ([0.1, 0.9], [0.1, 0.9]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.52], [0.4067, 0.5067, 0.6067]),
        ([-0.2, 0.0], [0.0, 0.1]),
        ([0.98, 1.0, 1.3], [0.8, 0.9, 1.0]),
        ([0.40, 0.45, 0.60], [0.375, 0.475, 0.6]),
        ([0.40, 0.45, 0.53], [0.36, 0.46, 0.56]),
    ],
)
def test_labels_move_apart_as_little_as_need_be(places, moved):
    assert curves.spread(places, apart=0.1) == pytest.approx(moved, abs=1e-4)
