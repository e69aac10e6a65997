"""Learning curves of our training and the reference: loss, and accuracy for the classifier."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from pipeline.reporting import targets
from pipeline.reporting.targets import ModelTargets
from pipeline.results import Result
from pipeline.views import view
from pipeline.views.base import Panel
from pipeline.wording import counted, number

REFERENCE, MINIMISED = "#3a3a3a", "#9aa5b1"
BASELINE = "#6b7682"
SMOOTHING = 0.02  # width of the moving average, as a share of the curve
MARKED = 30  # most evaluations for a curve with dots
LABEL = 7.5  # font size in the margin, in points
DASHED, DOTTED = (dict[str, Any](linestyle=style, linewidth=1) for style in ("--", "-."))


def draw(figure: Figure, result: Result, reached: ModelTargets | None) -> None:
    """Draw the curves over the units seen, such as tokens, which are comparable between batch
    sizes. With several seeds, lines are means and bands show the range.

    reached: targets and cost of the reference; None if there are none for these data.
    """
    seen = view(result.task)
    panels = seen.panels
    figure.set_size_inches(8 if len(panels) == 1 else 10, 4.6)
    figure.set_layout_engine("constrained")
    figure.suptitle(f"{seen.title(result.name)}: {seen.drawn}", fontsize=12, x=0.01, ha="left")
    handles: dict[str, Line2D] = {}
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        handles |= _panel(axes, panel, result, reached)
    entries: list[Line2D | Patch] = [*handles.values()]
    for label, look in (
        ("final result", {"linestyle": "", "marker": "D", "markersize": 5}),
        *((("target for the curve of this colour", DASHED),) if reached else ()),
        (f"baseline: only {seen.known} frequencies", DOTTED),
    ):
        entries.append(Line2D([], [], color=BASELINE, label=label, **look))
    if (count := len(result.trainings)) > 1:
        label = f"line: mean of {counted(count, 'seed')}; band: lowest to highest"
        entries.append(Patch(color=MINIMISED, alpha=0.4, label=label))
    columns = 2 if len(panels) == 1 else 3
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, fontsize=8)


def _panel(
    axes: Axes, panel: Panel, result: Result, reached: ModelTargets | None
) -> dict[str, Line2D]:
    """Draw one panel; returns the entries of the legend by label."""
    unit, drawn = result.metrics["unit"], []
    if panel.minimised:
        steps = [training.history for training in result.trainings]
        label = "training batches: the minimised loss, with any label smoothing"
        smoothed = _smooth([rows[panel.minimised] for rows in steps])
        drawn += _line(axes, steps[0][unit], smoothed, color=MINIMISED, label=label, linewidth=1)
    margin = []
    for curve in panel.curves:
        if curve.metric not in result.trainings[0].evaluations:  # a text without a held-out part
            continue
        evaluations = [training.evaluations for training in result.trainings]
        marked = {"marker": "o", "markersize": 3} if len(evaluations[0]) <= MARKED else {}
        style = {"color": curve.color, "label": curve.label, "linewidth": 1.3, **marked}
        seen = evaluations[0][unit]
        drawn += _line(axes, seen, [rows[curve.metric] for rows in evaluations], **style)
        if curve.metric in result.metrics:
            final = result.metrics[curve.metric]
            axes.plot(seen.iloc[-1], final, "D", color=curve.color, markersize=5, zorder=3)
            margin.append((final, f"ours {number(final)}", curve.color))
        for target in reached.targets if reached else ():
            if target.ours == curve.metric:
                axes.axhline(target.value, color=curve.color, **DASHED)
                margin.append((target.value, f"target {number(target.value)}", curve.color))
    if reached and (reference := targets.curve(result.name)) is not None:
        for column, label, dashes in panel.reference:
            look = {"color": REFERENCE, "linestyle": dashes, "linewidth": 0.9, "label": label}
            drawn += _line(axes, reference[unit], [reference[column]], **look)
    known = result.metrics[panel.baseline]
    axes.axhline(known, color=BASELINE, **DOTTED)
    margin.append((known, f"baseline {number(known)}", BASELINE))
    axes.set(xlabel=f"{unit} seen", ylabel=panel.ylabel)
    if panel.limits:
        axes.set_ylim(*panel.limits)
    _log_scale(axes)
    _label(axes, margin)
    return {str(line.get_label()): line for line in drawn}


def _line(axes: Axes, x: pd.Series, of_seeds: list[pd.Series], **look: Any) -> list[Line2D]:
    """Draw the mean over the seeds, and for several seeds a band from the lowest to the highest.

    A curve of one evaluation is drawn as a point with a vertical line.
    """
    values = np.stack(of_seeds)
    single = len(x) == 1
    if len(values) > 1:
        lowest, highest = values.min(axis=0), values.max(axis=0)
        band = {"color": look["color"], "alpha": 0.25, "linewidth": 5 if single else 0}
        (axes.vlines if single else axes.fill_between)(x, lowest, highest, **band)
    if single:
        look |= {"marker": "o", "markersize": 4}
    return axes.plot(x, values.mean(axis=0), **look)


def _smooth(of_seeds: list[pd.Series]) -> list[pd.Series]:
    span = max(1, round(SMOOTHING * len(of_seeds[0])))
    return [values.rolling(span, min_periods=1).mean() for values in of_seeds]


def _log_scale(axes: Axes) -> None:
    """A logarithmic x axis with ticks 10k, 100k, 1M; for a short axis also 2 and 5 times these."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    between = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=between))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label(axes: Axes, labels: Iterable[tuple[float, str, str]]) -> None:
    """Write labels into the right margin, without overlap.

    labels: value, text and colour of each label.
    """
    low, high = axes.get_ylim()
    ranked = sorted(labels)
    places = spread([(value - low) / (high - low) for value, _, _ in ranked])
    for place, (_, text, color) in zip(places, ranked, strict=True):
        axes.annotate(
            text,
            (1.015, place),
            xycoords="axes fraction",
            va="center",
            fontsize=LABEL,
            color=color,
            annotation_clip=False,
        )


def spread(places: list[float], apart: float = 0.047) -> list[float]:
    """Ascending places from 0 to 1, moved as little as possible to be `apart` from each other.

    Without the room that each needs above the one before, they only need to ascend.
    """
    room = apart * np.arange(len(places))
    ascending = isotonic_regression(np.array(places) - room).x
    return list(ascending.clip(0.0, max(1.0 - apart * (len(places) - 1), 0.0)) + room)
