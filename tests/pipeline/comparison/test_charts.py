import re

import pytest
import vl_convert

from pipeline.comparison import charts
from pipeline.comparison.comparing import Row

NAMES = ["HEAD", "six-layers", "other"]
POINTS = [
    {"experiment": name, "seen": seen, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
    for mean, name in enumerate(NAMES, 1)
    for seen in (10.0, 100.0)
]
ROWS = [
    Row("gpt", "loss", "HEAD", "lower", {0: 5.0, 1: 5.2}, 10**12, on_front=True),
    Row("gpt", "loss", "six-layers", "lower", {0: 5.1, 1: 5.3}, 2 * 10**12),
    Row("gpt", "loss", "other", "lower", {0: 1.0}, 10**11, unlike=["other data"]),
]


def drawn(chart, *shown):
    if shown:
        chart["params"][0]["value"] = list(shown)
    return vl_convert.vegalite_to_svg(chart)


def test_every_experiment_has_a_curve_and_a_band_of_its_colour():
    svg = drawn(charts.curves(POINTS, NAMES, "tokens", "loss"))
    lines = re.findall(r'<path aria-label="[^"]*experiment: ([^";]+)"[^>]*line mark[^>]*>', svg)
    assert lines == NAMES
    strokes = re.findall(r'line mark"[^>]*stroke="([^"]+)"', svg)
    fills = re.findall(r'area mark"[^>]*fill="([^"]+)"', svg)
    assert strokes == fills == list(charts.COLORS[:3])
    assert "tokens seen" in svg and ">loss<" in svg


@pytest.mark.parametrize("make", [lambda: charts.curves(POINTS, NAMES, "tokens", "loss"),
                                  lambda: charts.cost_and_quality(ROWS, NAMES)])  # fmt: skip
def test_only_chosen_experiments_are_shown_in_unchanged_colours(make):
    both, svg = drawn(make()), drawn(make(), "six-layers")
    for color, name in zip(charts.COLORS, NAMES, strict=False):
        assert color in both
        assert (color in svg) == (name == "six-layers")


def test_quality_against_compute():
    svg = drawn(charts.cost_and_quality(ROWS, NAMES))
    marks = re.findall(r'<path aria-label="([^"]*kind: [^"]*)"[^>]*fill="([^"]*)"', svg)
    found = {re.search("experiment: ([^;]+)", label)[1]: fill for label, fill in marks}
    assert found == {"HEAD": charts.COLORS[0], "six-layers": "white", "other": "white"}
    assert "loss (lower is better)" in svg
    assert "floating-point operations" in svg
