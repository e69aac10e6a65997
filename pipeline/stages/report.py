"""report: compare the results of the other stages with the reference."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pipeline import provenance, results, tracking
from pipeline.markup import table
from pipeline.params import Params
from pipeline.paths import REPORTS, replacing, write_json
from pipeline.reporting import (
    markdown,
    pictures,
    summary,
    targets,
    time_to_target,
    verdicts,
)
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.time_to_target import Moment
from pipeline.reporting.verdicts import Verdict
from pipeline.reproduction import reproduction
from pipeline.results import Result
from pipeline.running import records
from pipeline.stages.aggregate import remove_unused
from pipeline.views.base import PICTURES
from pipeline.wording import number


def report(params: Params) -> None:
    """Write metrics.md, metrics.json, time_to_target.json and pictures/ in reports/; attach them
    to the MLflow runs of the trainings.

    Raises:
        UserError: a model is not evaluated; data, models and evaluations do not belong together; or
            reports/targets.yaml is not valid.
    """
    remove_unused(params)
    for name in params.models:
        provenance.check_results(params, name)
    found = {
        name: results.load(name, params.section(name).task, params.seeds) for name in params.models
    }
    reached = targets.about({name: result.data for name, result in found.items()})
    judged = [
        verdict
        for name, wanted in reached.items()
        for verdict in verdicts.judge(params, found[name], wanted)
    ]
    folder = REPORTS / PICTURES
    shutil.rmtree(folder, ignore_errors=True)
    for name, result in found.items():
        pictures.draw(result, reached.get(name), folder)
        if result.predictions is not None:  # for the plot of DVC
            result.predictions.to_csv(folder / f"{name}-confusion.csv", index=False)
    environment = {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": records.machine(),
        "versions": records.versions(),
        "git_commit": records.git_commit(),
    }
    again = reproduction(params)
    command = again.command(environment["git_commit"])
    text = markdown.render(params, again.label, found, judged, reached, environment, command)
    with replacing(REPORTS / "metrics.md") as fresh:
        fresh.write_text(text, "utf-8")
    times = {name: _times(found[name], wanted) for name, wanted in reached.items()}
    content = _content(params, found, judged, times, environment, command)
    write_json({**content, "changes": again.changes}, REPORTS / "metrics.json")
    write_json(_medians(times), REPORTS / "time_to_target.json")
    summary.show(judged, found)
    for name in params.models:
        for index, seed in enumerate(params.seeds):
            trained = tracking.TrainedModel(params, name, seed)
            with trained.tracker("report") as tracker:
                if trained.restore(tracker):
                    trained.log_evaluation(tracker)
                tracker.metrics(dict(_costs(times.get(name, {}), index)))
                trained.log_report(tracker, REPORTS, _note(judged, name))


def _note(judged: list[Verdict], name: str) -> str:
    """The verdicts of one model, as a Markdown table; empty without targets."""
    rows = [
        (each.target.name, number(each.ours), number(each.target.value), str(each))
        for each in judged
        if each.model == name
    ]
    return table([name, "ours", "target", "verdict"], rows, "lrrl") if rows else ""


def _times(result: Result, reached: ModelTargets) -> dict[str, list[dict[str, Any] | None]]:
    """When each seed first reached each target; the key `all` is for all targets at once."""
    return {
        key: [moment and asdict(moment) for moment in time_to_target.moments(result, wanted)]
        for key, wanted in time_to_target.wanted(reached).items()
    }


def _costs(
    of_model: dict[str, list[dict[str, Any] | None]], index: int
) -> Iterator[tuple[str, float]]:
    """The cost of reaching each target in one training, as metrics for MLflow."""
    for key, found in of_model.items():
        if found[index]:
            moment = Moment(**found[index])
            seconds = {} if moment.seconds is None else {"seconds": moment.seconds}
            for what, value in (_cost(moment) | seconds).items():
                yield f"{key}_reached.{what}", value


def _medians(times: dict[str, dict[str, list[dict[str, Any] | None]]]) -> dict[str, Any]:
    """The median cost over the seeds, for DVC's tables: without seconds, and without targets that
    are not reached."""
    medians: dict[str, Any] = {}
    for name, of_model in times.items():
        for key, found in of_model.items():
            moment = time_to_target.median([Moment(**each) if each else None for each in found])
            if moment:
                medians.setdefault(name, {})[f"{key}_reached"] = _cost(moment)
    return medians


def _cost(moment: Moment) -> dict[str, int]:
    """The cost, with the same names in DVC and MLflow."""
    return {"steps": moment.step, "units": moment.units, "flops": moment.flops}


def _content(
    params: Params,
    found: dict[str, Result],
    judged: list[Verdict],
    times: dict[str, dict[str, list[dict[str, Any] | None]]],
    environment: dict[str, Any],
    command: list[str],
) -> dict[str, Any]:
    """The content of metrics.json."""
    met, comparable = verdicts.tally(judged)
    return {
        "profile": params.profile,
        "targets_met": met,
        "targets_comparable": comparable,
        "verdicts": [
            {
                "model": verdict.model,
                **verdict.target.model_dump(),
                "ours": verdict.ours,
                "values": verdict.values,
                "margin": verdict.margin,
                "ours_metric": verdict.target.ours,
                "baseline": verdict.baseline,
                "difference": verdict.difference,
                "outcome": verdict.outcome,
                "met": verdict.met,
                "like_for_like": verdict.like_for_like,
                "differences": verdict.differences,
            }
            for verdict in judged
        ],
        "models": {
            name: {
                "task": result.task,
                "data": result.data,
                "one_class_only": result.one_class_only,
                "measures": result.measures,
                "time_to_target": times.get(name, {}),
                "metrics": result.metrics,
                "trainings": [
                    {"seed": each.seed, "metrics": each.metrics, "record": each.record}
                    for each in result.trainings
                ],
            }
            for name, result in found.items()
        },
        "params": params.content(),
        "command": command,
        **environment,
    }
