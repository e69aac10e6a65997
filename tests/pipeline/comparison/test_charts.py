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


def marks(svg, kind, attribute):
    """For each mark of a kind, the experiment and an attribute."""
    pattern = rf'experiment: ([^";]+)[^"]*"[^>]*"{kind}"[^>]* {attribute}="([^"]+)"'
    return re.findall(pattern, svg)


def test_every_experiment_has_a_curve_and_a_band_of_its_colour():
    svg = drawn(charts.curves(POINTS, NAMES, "tokens", "loss"))
    expected = list(zip(NAMES, charts.COLORS, strict=False))
    assert marks(svg, "line mark", "stroke") == marks(svg, "area mark", "fill") == expected
    assert "tokens seen" in svg and ">loss<" in svg


@pytest.mark.parametrize("make", [lambda: charts.curves(POINTS, NAMES, "tokens", "loss"),
                                  lambda: charts.cost_and_quality(ROWS, NAMES)])  # fmt: skip
def test_only_chosen_experiments_are_shown_in_unchanged_colours(make):
    both, svg = drawn(make()), drawn(make(), "six-layers")
    for color, name in zip(charts.COLORS, NAMES, strict=False):
        assert color in both
        assert (color in svg) == (name == "six-layers")


def test_quality_against_compute_has_a_point_for_each_experiment():
    svg = drawn(charts.cost_and_quality(ROWS, NAMES))
    assert dict(marks(svg, "point", "fill")) == {
        "HEAD": charts.COLORS[0],
        "six-layers": "white",
        "other": "white",
    }
    assert "loss (lower is better)" in svg
    assert "floating-point operations" in svg
