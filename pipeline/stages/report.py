"""report: what the other stages left, beside the reference's figures."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pipeline import MODELS, provenance, records, tracking
from pipeline.params import Params
from pipeline.paths import REPORTS, model_dir, predictions_dir, replacing, require, write_json
from pipeline.reporting import (
    figures,
    markdown,
    results,
    summary,
    targets,
    time_to_target,
    verdicts,
)
from pipeline.reporting.results import Result
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.time_to_target import Moment
from pipeline.reporting.verdicts import Verdict
from pipeline.reproduction import reproduction


def report(params: Params) -> None:
    """Write reports/metrics.md, metrics.json and figures/, and log them as an MLflow run.

    Raises:
        UserError: a model is not evaluated, data, models and figures do not belong together, or
            reports/targets.yaml is not valid.
    """
    for name in MODELS:
        require(predictions_dir(name), f"dvc repro evaluate@{name}")
        provenance.check_data(name, params.section(name).data)
        for seed in params.seeds:
            provenance.check_model(name, require(model_dir(name, seed), f"dvc repro train@{name}"))
            provenance.check_figures(name, seed)
    found = {name: results.load(name, params.seeds) for name in MODELS}
    reached = targets.about({name: result.data for name, result in found.items()})
    judged = [
        verdict
        for name, wanted in reached.items()
        for verdict in verdicts.judge(params, found[name], wanted)
    ]
    folder = REPORTS / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    pictures = {
        name: figures.draw(found[name], reached.get(name), folder) for name in MODELS
    }
    environment = {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": records.machine(),
        "versions": records.versions(),
        "git_commit": records.git_commit(),
    }
    again = reproduction(params)
    command = again.command(environment["git_commit"])
    text = markdown.render(
        params, again.label, found, judged, reached, pictures, environment, command
    )
    with replacing(REPORTS / "metrics.md") as fresh:
        fresh.write_text(text, "utf-8")
    times = {name: _times(found[name], wanted) for name, wanted in reached.items()}
    content = _content(params, found, judged, times, environment, command)
    write_json({**content, "changes": again.changes}, REPORTS / "metrics.json")
    write_json(_medians(times), REPORTS / "time_to_target.json")
    met, comparable = verdicts.tally(judged)
    summary.tell(judged)
    with tracking.Tracker("report", params) as tracker:
        tracker.metrics({"targets_met": met, "targets_comparable": comparable})
        tracker.metrics(
            {f"{name}.{key}": value for name, of in times.items() for key, value in _flat(of)}
        )
        # Also where DVC's cache spared the training: the runs in which these models came about.
        tracker.tags(
            {
                f"run.{name}.seed-{training.seed}": training.record["mlflow_run_id"]
                for name, result in found.items()
                for training in result.trainings
                if training.record and training.record["mlflow_run_id"]
            }
        )
        for file in ("metrics.md", "metrics.json"):
            tracker.files(REPORTS / file)
        tracker.files(folder, "figures")


def _times(result: Result, reached: ModelTargets) -> dict[str, list[dict[str, Any] | None]]:
    """When each target was reached with every seed, by our name of the figure; `all` at once."""
    return {
        key: [moment and asdict(moment) for moment in time_to_target.moments(result, wanted)]
        for key, wanted in time_to_target.wanted(reached).items()
    }


def _flat(of_model: dict[str, list[dict[str, Any] | None]]) -> Iterator[tuple[str, float]]:
    """Median costs of getting to each target, seconds included, by name."""
    for key, found in of_model.items():
        moment = time_to_target.median([Moment(**each) if each else None for each in found])
        for what, value in asdict(moment).items() if moment else ():
            if value is not None:
                yield f"{key}_reached.{what}", value


def _medians(times: dict[str, dict[str, list[dict[str, Any] | None]]]) -> dict[str, Any]:
    """For DVC's tables: the median over the seeds, without times; a target that is not reached
    has none."""
    medians: dict[str, Any] = {}
    for name, of_model in times.items():
        for key, found in of_model.items():
            moment = time_to_target.median([Moment(**each) if each else None for each in found])
            if moment:
                reached = {"steps": moment.step, "units": moment.units, "flops": moment.flops}
                medians.setdefault(name, {})[f"{key}_reached"] = reached
    return medians


def _content(
    params: Params,
    found: dict[str, Result],
    judged: list[Verdict],
    times: dict[str, dict[str, list[dict[str, Any] | None]]],
    environment: dict[str, Any],
    command: list[str],
) -> dict[str, Any]:
    """The report for programs."""
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
                "ours_figure": verdict.target.ours,
                "baseline": verdict.baseline,
                "difference": verdict.difference,
                "outcome": verdict.outcome,
                "met": verdict.met,
                "like_for_like": verdict.like_for_like,
                "differences": verdict.differences,
            }
            for verdict in judged
        ],
        "one_class_only": verdicts.one_class_only(found["vit"]),
        "models": {
            name: {
                "data": result.data,
                "measures": result.measures,
                "time_to_target": times.get(name, {}),
                "figures": result.figures,
                "trainings": [
                    {"seed": each.seed, "figures": each.figures, "record": each.record}
                    for each in result.trainings
                ],
            }
            for name, result in found.items()
        },
        "params": params.model_dump(exclude_none=True),
        "command": command,
        **environment,
    }
