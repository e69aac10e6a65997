"""report: what the other stages left, beside the reference's figures."""

import shutil
from datetime import UTC, datetime
from typing import Any

from pipeline import MODELS, records, tracking
from pipeline.params import Params
from pipeline.paths import REPORTS, predictions_dir, require, write_json
from pipeline.reporting import figures, markdown, reproduction, results, targets, verdicts
from pipeline.reporting.results import Result
from pipeline.reporting.verdicts import Verdict


def report(params: Params) -> None:
    """Write reports/metrics.md, metrics.json and figures/, and log them as an MLflow run.

    Raises:
        UserError: a model is not evaluated, or reports/targets.yaml is not valid.
    """
    for name in MODELS:
        require(predictions_dir(name), f"dvc repro evaluate@{name}")
    reached = targets.load()
    found = {name: results.load(name) for name in MODELS}
    judged = [
        verdict
        for name in MODELS
        for verdict in verdicts.judge(params, found[name], reached[name])
    ]
    folder = REPORTS / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    pictures = {
        name: figures.draw(found[name], reached[name], folder) for name in MODELS
    }
    environment = {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": records.machine(),
        "versions": records.versions(),
        "git_commit": records.git_commit(),
    }
    command = reproduction.command(params, environment["git_commit"])
    text = markdown.render(params, found, judged, pictures, environment, command)
    (REPORTS / "metrics.md").write_text(text, "utf-8")
    write_json(_content(params, found, judged, environment, command), REPORTS / "metrics.json")
    met, comparable = verdicts.tally(judged)
    for verdict in judged:
        name, target = f"{verdict.model} {verdict.target.name}", verdict.target.value
        print(f"{name:<22}{verdict.ours:>9.4f}   target {target:.4f}   {verdict}")
    print(f"in brackets: other data than the target's. All of it: {REPORTS / 'metrics.md'}")
    with tracking.Tracker("report", None, params) as tracker:
        tracker.metrics({"targets_met": met, "targets_comparable": comparable})
        for file in ("metrics.md", "metrics.json"):
            tracker.artifact(REPORTS / file)
        tracker.folder(folder, "figures")


def _content(
    params: Params,
    found: dict[str, Result],
    judged: list[Verdict],
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
                "ours_figure": verdict.target.ours,
                "baseline": verdict.baseline,
                "difference": verdict.difference,
                "met": verdict.met,
                "like_for_like": verdict.like_for_like,
                "differences": verdict.differences,
            }
            for verdict in judged
        ],
        "one_class_only": verdicts.one_class_only(found["vit"]),
        "models": {
            name: {
                key: getattr(result, key)
                for key in ("data", "figures", "training", "evaluation")
            }
            for name, result in found.items()
        },
        "params": params.model_dump(exclude_none=True),
        "command": command,
        **environment,
    }
