"""Finds contradictions inside a report: computes again what follows from its own metrics."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import results
from pipeline.params import Params
from pipeline.reporting import targets, time_to_target, verdicts
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.verdicts import Verdict
from pipeline.results import Result, Training
from pipeline.stages.aggregate import headline as means
from pipeline.training.history import History
from pipeline.training.task import Measure
from pipeline.verification import recorded
from pipeline.verification.differences import differences
from pipeline.verification.recorded import Model, Report
from pipeline.wording import counted

# Curves have nine significant digits, so means over them differ slightly.
ROUNDING = 1e-7
# Do not follow from the mean curve of several seeds: each seed has its best evaluation elsewhere.
BEST = ("best_loss", "best_train_loss", "best_step")
JUDGED = (
    "model", "ours", "values", "margin", "baseline", "difference", "outcome", "met",
    "like_for_like", "differences",
)  # fmt: skip


def report_contradictions(report: Report, params: Params) -> list[str]:
    """Means, verdicts and counts that do not follow from the trainings' metrics; a line for each.

    Raises:
        UserError: reports/targets.yaml is missing or not valid.
    """
    reached = targets.about({name: report.models[name].data.model_dump() for name in params.models})
    try:
        found = {name: _result(name, report.models[name]) for name in params.models}
        judged = [
            verdict
            for name, wanted in reached.items()
            for verdict in verdicts.judge(params, found[name], wanted)
        ]
    except KeyError as missing:
        return [f"a training has no metric {missing}, which means or verdicts need"]
    lines = []
    for name, result in found.items():
        theirs = report.models[name]
        lines += _lines(f"{name}: ", theirs.metrics, result.metrics)
        if theirs.one_class_only != result.one_class_only:
            lines.append(f"{name}: one_class_only: {theirs.one_class_only} recorded, "
                         f"{result.one_class_only} by the metrics")  # fmt: skip
    met, comparable = verdicts.tally(judged)
    ours = {
        "profile": params.profile,
        "targets_met": met,
        "targets_comparable": comparable,
    }
    lines += _lines("", report.model_dump(include=set(ours)), ours)
    if len(report.verdicts) != len(judged):
        recorded_here = counted(len(report.verdicts), "recorded verdict")
        return [*lines, f"{recorded_here}, for {counted(len(judged), 'target')} here"]
    for theirs, verdict in zip(report.verdicts, judged, strict=True):
        lines += _lines(f"{verdict.model} {verdict.target.name}: ", theirs, _content(verdict))
    return lines


def headline_contradictions(
    name: str, model: Model, file: Path, headline: tuple[str, ...]
) -> list[str]:
    """Metrics in DVC's tables that are not the means over the model's trainings; a line for each.

    file: the model's metrics.json, if it exists. headline: names of these metrics.

    Raises:
        UserError: the file has other content.
    """
    if not file.exists():
        return []
    try:
        ours = means([training.metrics.model_dump() for training in model.trainings], headline)
    except KeyError as missing:
        return [f"a training has no metric {missing}, which {file} needs"]
    return _lines(f"{file}: ", recorded.headline(file, name), ours)


def measure_contradictions(model: Model, measures: dict[str, Measure]) -> list[str]:
    """Metrics that the code measures in another way than the report says; a line for each."""
    ours = {metric: asdict(measure) for metric, measure in measures.items()}
    return _lines("measure of ", model.measures, ours, "by the code")


def time_contradictions(
    model: Model, reached: ModelTargets | None, again: list[Training]
) -> list[str]:
    """Times to target that differ from those of the repeated trainings; a line for each.

    reached: the targets; None if none apply to these data.
    again: the trainings repeated now.
    """
    ours = (
        {}
        if reached is None
        else {
            key: [
                moment and {"step": moment.step, "units": moment.units, "flops": moment.flops}
                for moment in (time_to_target.first_moment(each, wanted) for each in again)
            ]
            for key, wanted in time_to_target.wanted(reached).items()
        }
    )
    theirs = {
        key: [moment and moment.model_dump() for moment in found]
        for key, found in model.time_to_target.items()
    }
    return _lines("time to target, ", theirs, ours, "by the trainings")


def curve_contradictions(
    model: Model,
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
        ours = {key: value for key, value in ours.items() if key not in BEST}
    theirs = {key: value for key, value in model.metrics.items() if key in ours}
    return _lines("", theirs, ours, "by the curves")


def _result(name: str, model: Model) -> Result:
    """The result as in `report`, without curves and records."""
    nothing = pd.DataFrame()
    trainings = [
        results.Training(training.seed, training.metrics.model_dump(), None, nothing, nothing)
        for training in model.trainings
    ]
    mean = results.mean_of([training.metrics for training in trainings])
    data = model.data.model_dump()
    return Result(name, model.task, data, model.measures, trainings, mean)


def _content(verdict: Verdict) -> dict[str, Any]:
    """A verdict as in metrics.json."""
    judged = {key: getattr(verdict, key) for key in JUDGED}
    return verdict.target.model_dump() | judged | {"ours_metric": verdict.target.ours}


def _lines(
    where: str, theirs: dict[str, Any], ours: dict[str, Any], source: str = "by the metrics"
) -> list[str]:
    return [where + line for line, _ in differences(theirs, ours, source, ROUNDING)]
