"""The pictures of the page, as specifications of Vega-Lite."""

from collections.abc import Sequence
from typing import Any

from pipeline.comparison.comparing import Row

COLORS = ("#1f5fa8", "#cc6d16", "#2e8540", "#8e44ad", "#b3261e", "#00808a", "#8a6d3b", "#d0569a",
          "#5b6470", "#7a9a01")  # fmt: skip
FRONT = "#9aa5b1"
MARKED = 30  # most points of a curve with dots
SHOWN = "shown"  # parameter of a picture: the experiments that it shows
LOG = {"type": "log", "nice": False}
STYLE = {
    "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
    "width": "container",
    "height": 230,
    "autosize": {"type": "fit", "contains": "padding"},
    "config": {
        "font": "system-ui, sans-serif",
        "axis": {"gridColor": "#e8ebef", "domainColor": FRONT, "tickColor": FRONT},
        "view": {"stroke": None},
        "point": {"size": 14},
    },
}


def curves(points: Sequence[dict[str, Any]], names: list[str], unit: str, metric: str) -> Any:
    """One curve for each experiment, with a band from the lowest to the highest seed.

    points: see `curves.curves`. names: of all experiments, in the order of their colours.
    """
    x = {"field": "seen", "type": "quantitative", "title": f"{unit} seen", "scale": LOG,
         "axis": {"format": "~s", "tickCount": 6}}  # fmt: skip
    y = {"field": "mean", "type": "quantitative", "title": metric, "scale": {"zero": False}}
    tooltip = [
        {"field": "experiment"},
        {"field": "seen", "format": ",.0f", "title": unit},
        *({"field": key, "format": ".4f"} for key in ("mean", "low", "high")),
    ]
    return _chart(names, points, [
        {"mark": {"type": "area", "opacity": 0.2},
         "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "line", "strokeWidth": 1.5, "point": len(points) <= MARKED * len(names)},
         "encoding": {"x": x, "y": y, "tooltip": tooltip}},
    ])  # fmt: skip


def cost_and_quality(rows: Sequence[Row], names: list[str]) -> Any:
    """The mean of a metric over floating-point operations, with the standard deviation over the
    seeds; experiments on the Pareto front are filled and joined, those that are not like for like
    are crosses."""
    points = [
        {
            "experiment": row.experiment,
            "flops": row.flops,
            "mean": row.mean,
            "low": row.mean - (row.deviation or 0),
            "high": row.mean + (row.deviation or 0),
            "kind": "not like for like" if row.unlike else "front" if row.on_front else "other",
        }
        for row in rows
    ]
    x = {
        "field": "flops",
        "type": "quantitative",
        "title": "floating-point operations",
        "scale": LOG | {"padding": 20},
        "axis": {"format": "~s", "tickCount": 4},
    }
    y = {
        "field": "mean",
        "type": "quantitative",
        "title": f"{rows[0].metric} ({rows[0].better} is better)",
        "scale": {"zero": False, "padding": 15},
    }
    tooltip = [
        {"field": "experiment"},
        {"field": "flops", "format": ".3s"},
        {"field": "mean", "format": ".4f"},
        {"field": "kind"},
    ]
    on_front = {"filter": "datum.kind == 'front'"}
    return _chart(names, points, [
        {"transform": [on_front], "mark": {"type": "line", "strokeDash": [4, 3], "color": FRONT},
         "encoding": {"x": x, "y": y, "color": {"value": FRONT}}},
        {"mark": {"type": "rule"},
         "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "point", "size": 80, "strokeWidth": 2},
         "encoding": {"x": x, "y": y, "tooltip": tooltip,
                      "shape": {"field": "kind", "legend": None, "scale": {
                          "domain": ["front", "other", "not like for like"],
                          "range": ["circle", "circle", "cross"]}},
                      "fill": {"condition": {"test": "datum.kind == 'front'",
                               **_color(names)}, "value": "white"}}},
    ])  # fmt: skip


def _chart(names: list[str], points: Any, layers: list[dict[str, Any]]) -> dict[str, Any]:
    return STYLE | {
        "data": {"values": points},
        "params": [{"name": SHOWN, "value": names}],
        "transform": [{"filter": f"indexof({SHOWN}, datum.experiment) >= 0"}],
        "encoding": {"color": _color(names)},
        "layer": layers,
    }


def _color(names: list[str]) -> dict[str, Any]:
    colors = [COLORS[index % len(COLORS)] for index in range(len(names))]
    scale = {"domain": names, "range": colors}
    return {"field": "experiment", "type": "nominal", "legend": None, "scale": scale}
