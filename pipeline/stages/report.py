"""report: compare the results of the other stages with the reference."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline import provenance, results, tracking
from pipeline.markup import table
from pipeline.params import Params
from pipeline.paths import REPORTS, replacing, write_json
from pipeline.reporting import markdown, pictures, summary, targets, time_to_target, verdicts
from pipeline.reporting.schema import Report
from pipeline.reporting.verdicts import Verdict
from pipeline.reproduction import reproduction
from pipeline.results import Moment, Result
from pipeline.running import records
from pipeline.stages.aggregate import remove_unused
from pipeline.views.base import PICTURES
from pipeline.wording import number


def report(params: Params) -> None:
    """Write metrics.md, metrics.json, time_to_target.json and pictures/ in reports/; add them and
    the evaluations to the MLflow runs of the trainings.

    Raises:
        UserError: a model is not evaluated; data, models and evaluations do not belong together; or
            reports/targets.yaml is not valid.
    """
    remove_unused(params)
    for name in params.model_names:
        provenance.check_results(params, name)
    found = {
        name: results.load(name, params.section(name).task, params.seeds)
        for name in params.model_names
    }
    wanted = targets.about({name: result.data for name, result in found.items()})
    for name, of_model in wanted.items():
        found[name].time_to_target = time_to_target.reached(found[name].trainings, of_model)
    again, commit = reproduction(params), records.git_commit()
    made = Report(
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        git_commit=commit,
        machine=records.machine(),
        versions=records.versions(),
        profile=params.profile,
        changes=again.changes,
        command=again.command(commit),
        params=params.content(),
        models=found,
        verdicts=verdicts.judge_all(params, found, wanted),
    )
    write_json(made.content(), REPORTS / "metrics.json")
    with replacing(REPORTS / "metrics.md") as fresh:
        fresh.write_text(markdown.render(made, params, again.label, wanted), "utf-8")
    write_json(_medians(found), REPORTS / "time_to_target.json")
    folder = REPORTS / PICTURES
    shutil.rmtree(folder, ignore_errors=True)
    for name, result in found.items():
        pictures.draw(result, wanted.get(name), folder)
        if result.predictions is not None:  # for the plot of DVC
            result.predictions.to_csv(folder / f"{name}-confusion.csv", index=False)
    summary.show(made)
    for name in params.model_names:
        for index, seed in enumerate(params.seeds):
            trained = tracking.TrainedModel(params, name, seed)
            with trained.tracker("report") as tracker:
                trained.log_evaluation(tracker)
                tracker.metrics(dict(_costs(found[name], index)))
                trained.log_report(tracker, REPORTS, _note(made.verdicts, name))


def _note(judged: Sequence[Verdict], name: str) -> str:
    """The verdicts of one model, as a Markdown table; empty without targets."""
    rows = [
        (each.target.name, number(each.ours), number(each.target.value), str(each))
        for each in judged
        if each.model == name
    ]
    return table([name, "ours", "target", "verdict"], rows, "lrrl") if rows else ""


def _costs(result: Result, index: int) -> Iterator[tuple[str, float]]:
    """The cost of reaching each target in one training, as metrics for MLflow."""
    for key, moments in result.time_to_target.items():
        if moment := moments[index]:
            seconds = {} if moment.seconds is None else {"seconds": moment.seconds}
            for what, value in (_cost(moment) | seconds).items():
                yield f"{key}_reached.{what}", value


def _medians(found: dict[str, Result]) -> dict[str, Any]:
    """The median cost over the seeds, for DVC's tables: without seconds, and without targets that
    are not reached."""
    medians: dict[str, Any] = {}
    for name, result in found.items():
        for key, moments in result.time_to_target.items():
            if moment := time_to_target.median(moments):
                medians.setdefault(name, {})[f"{key}_reached"] = _cost(moment)
    return medians


def _cost(moment: Moment) -> dict[str, int]:
    """The cost, with the same names in DVC and MLflow."""
    return {"steps": moment.step, "units": moment.units, "flops": moment.flops}
