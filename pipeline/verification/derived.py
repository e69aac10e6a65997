"""Finds contradictions inside a report: computes again what follows from its own metrics."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.params import Params
from pipeline.reporting import targets, time_to_target, verdicts
from pipeline.reporting.schema import Report
from pipeline.reporting.targets import ModelTargets
from pipeline.results import Moment, Result, Training
from pipeline.stages.aggregate import headline as means
from pipeline.training.history import History
from pipeline.training.task import Measure
from pipeline.verification import recorded
from pipeline.verification.differences import differences
from pipeline.yaml_file import flatten

# Curves have nine significant digits, so means over them differ slightly.
ROUNDING = 1e-7


def report_contradictions(report: Report, content: dict[str, Any], params: Params) -> list[str]:
    """Means, verdicts and counts that do not follow from the trainings' metrics; a line for each.

    report, content: see `recorded.read`.

    Raises:
        UserError: reports/targets.yaml is missing or not valid.
    """
    wanted = targets.about({name: result.data for name, result in report.models.items()})
    try:
        judged = verdicts.judge_all(params, report.models, wanted)
        again = replace(report, profile=params.profile, verdicts=judged).content()
    except KeyError as missing:
        return [f"a training has no metric {missing}, which means or verdicts need"]
    return _lines("", _named(content), _named(again))


def _named(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a metrics.json on one level, with verdicts by name."""
    of = {f"{each['model']} {each['target']['name']}": each for each in content["verdicts"]}
    return flatten(content | {"verdicts": of})


def headline_contradictions(
    name: str, result: Result, file: Path, headline: tuple[str, ...]
) -> list[str]:
    """Metrics in DVC's tables that are not the means over the model's trainings; a line for each.

    file: the model's metrics.json, if it exists. headline: names of these metrics.

    Raises:
        UserError: the file has other content.
    """
    if not file.exists():
        return []
    try:
        ours = means([training.metrics for training in result.trainings], list(headline))
    except KeyError as missing:
        return [f"a training has no metric {missing}, which {file} needs"]
    return _lines(f"{file}: ", recorded.headline(file, name), ours)


def measure_contradictions(result: Result, measures: dict[str, Measure]) -> list[str]:
    """Metrics that the code measures in another way than the report says; a line for each."""
    ours = {metric: asdict(measure) for metric, measure in measures.items()}
    return _lines("measure of ", result.measures, ours, "by the code")


def time_contradictions(
    result: Result, wanted: ModelTargets | None, again: Sequence[Training]
) -> list[str]:
    """Times to target that differ from those of the repeated trainings; a line for each.

    wanted: the targets; None if none apply to these data. again: the trainings repeated now.
    """
    ours = time_to_target.reached(again, wanted) if wanted else {}
    return _lines(
        "time to target, ", _timeless(result.time_to_target), _timeless(ours), "by the trainings"
    )


def _timeless(reached: dict[str, list[Moment | None]]) -> dict[str, list[Moment | None]]:
    """Without seconds, which differ between equal trainings."""
    return {
        key: [moment and replace(moment, seconds=None) for moment in moments]
        for key, moments in reached.items()
    }


def curve_contradictions(
    model: Result,
    steps: pd.DataFrame,
    evaluations: pd.DataFrame,
    summary: Callable[[History], dict[str, Any]],
) -> list[str]:
    """Metrics of `train` that do not follow from the recorded curves; a line for each.

    summary: computes the metrics of `train` from a history.
    """
    history = History(steps.to_dict("records"), evaluations.to_dict("records"))
    try:
        ours = summary(history)
    except (KeyError, IndexError, ValueError):
        return ["the curves lack columns or rows that the metrics need"]
    if len(model.trainings) > 1:
        # Each seed has its best evaluation elsewhere than the mean curve.
        ours = {key: value for key, value in ours.items() if not key.startswith("best_")}
    theirs = {key: value for key, value in model.metrics.items() if key in ours}
    return _lines("", theirs, ours, "by the curves")


def _lines(
    where: str, theirs: dict[str, Any], ours: dict[str, Any], source: str = "by the metrics"
) -> list[str]:
    return [where + line for line, _ in differences(theirs, ours, source, ROUNDING)]
