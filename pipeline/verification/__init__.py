"""Trains again and compares with a report, bit for bit.

It needs only the folder of the report: metrics.json has the parameters, the fingerprint of the
data, the metrics and the checksums of the weights; the curves are beside it. It also computes again
what the report derives from its own metrics and curves. It writes only to the cache of downloads
and to a temporary folder. May import `stages`, `reporting` and what trains and evaluates a model,
but not `tracking`; only the commands import this one.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.curves import EVALUATIONS, STEPS, Row, mean, read_csv, write_csv
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.paths import WEIGHTS, data_dir, read_json, sha256
from pipeline.reporting import targets
from pipeline.reproduction import Reproduction
from pipeline.results import Result, Training
from pipeline.running.watch import Watch
from pipeline.stages.prepare import prepare
from pipeline.tasks.assembly import Trained, assemble
from pipeline.training import models
from pipeline.training.loop import NoCheckpoint
from pipeline.training.observer import Observer
from pipeline.verification import derived, environment, recorded
from pipeline.verification.findings import (
    CLOSE,
    Findings,
    compare_curves,
    compare_metrics,
    compare_weights,
)
from pipeline.wording import counted, listed, wrapped

CURVES = {STEPS: "step", EVALUATIONS: "evaluation"}


def _evaluate(trained: Trained, folder: Path) -> dict[str, Any]:
    """The metrics of a training as in a report. Writes the model to `folder` and reads it back, as
    `evaluate` does."""
    task = trained.assembly.task
    models.save(trained.model, {}, folder)
    model, _ = models.load(folder)
    return trained.summary() | task.evaluate(model.to(task.device))


def verify(folder: Path, only: str | None, steps: int | None) -> bool:
    """Repeat the first `steps` (None: all) of each model, and print whether they equal the report.

    only: a single model; None for all models of the report.

    folder: of the report, with metrics.json, and the curves in a folder for each model.
    Returns whether everything is as expected and the report does not contradict itself: identical,
    or equal within CLOSE in the first steps where processor, device or torch give other digits.

    Raises:
        UserError: there is no such report, or its data are not available.
    """
    report, content, params = recorded.read(folder / "metrics.json")
    commit = (report.git_commit or "unknown")[:12]
    label = Reproduction(report.profile, report.changes).label
    _print(f"the report of {report.finished}, commit {commit}, profile {label}")
    contradictions = derived.report_contradictions(report, content, params)
    _print_contradictions(contradictions)
    everything = not contradictions
    if only and only not in params.model_names:
        raise UserError(f"{folder}: a report on {listed(params.model_names)}, not on {only}")
    for name in [only] if only else params.model_names:
        model = report.models[name]
        if steps:  # without a log
            print(f"{name}: training {counted(steps, 'step')} again ...", file=sys.stderr)
        found = _verify(params, model, folder / name, name, steps)
        record = model.trainings[0].record
        others = environment.other_digits(record, params)
        # In a whole training, other last digits lead to other results.
        as_expected = not found.differing or (bool(others) and steps is not None and found.close)
        everything = everything and as_expected and not found.contradictions
        _print(f"{name:<6}{found.verdict()}")
        if found.differing:
            if others:
                found.differing.append(
                    f"expected: equal within {CLOSE} at first, because of {listed(others)}"
                )
            elif record:  # otherwise nothing is known of the machine
                found.differing.append("expected: identical")
            causes = environment.differences(record, params)
            found.differing += [f"possible cause: {cause}" for cause in causes]
        for line in found.differing:
            _print(f"      {line}")
        _print_contradictions(found.contradictions)
    unchecked = "metrics.md and the pictures; times, machines and descriptions of the data"
    if steps:
        unchecked = (
            f"the curves after {counted(steps, 'step')}, the weights, and metrics that do not "
            f"follow from the curves (checked by --all); {unchecked}"
        )
    _print(f"not checked: {unchecked}")
    return everything


def _print_contradictions(contradictions: list[str]) -> None:
    for line in contradictions:
        _print(f"      the report contradicts itself: {line}")


def _print(text: str) -> None:
    # Deeper than the beginning of any line, to distinguish continued lines from new ones.
    print(wrapped(text, indent=8), flush=True)


def _verify(params: Params, model: Result, folder: Path, name: str, steps: int | None) -> Findings:
    """Train the model `name` with all seeds, and compare with the report's curves in `folder`."""
    found = Findings()
    known = {file: recorded.curve(folder / file) for file in CURVES}
    with tempfile.TemporaryDirectory() as temporary:
        data = _data(params, model.data["fingerprint"], name, Path(temporary))
        made: dict[str, list[list[Row]]] = {file: [] for file in CURVES}
        repeated: list[Training] = []
        for seed in params.seeds:
            again = _train(params, name, seed, data, steps)
            rows_of = {STEPS: again.history.steps, EVALUATIONS: again.history.evaluations}
            for file, rows in rows_of.items():
                if rows:  # a few steps may end before the first evaluation
                    # Write and read it like the recorded curve: both then have the same rounding.
                    write_csv(rows, Path(temporary) / file)
                    made[file].append(read_csv(Path(temporary) / file))
            if steps is None:
                metrics = _evaluate(again, Path(temporary) / f"seed-{seed}")
                repeated.append(Training(seed, metrics, None, *map(pd.DataFrame, rows_of.values())))
        for file, curves in made.items():
            if curves:
                write_csv(mean(curves), Path(temporary) / file)
                ours = recorded.curve(Path(temporary) / file)
                compare_curves(known[file], ours, CURVES[file], steps is None, found)
        if steps is None:
            for training, ours in zip(model.trainings, repeated, strict=True):
                weights = Path(temporary) / f"seed-{training.seed}" / WEIGHTS
                compare_weights(training, name, weights, found)
                compare_metrics(training, ours.metrics, found)
            wanted = targets.about({name: model.data}).get(name)
            found.contradictions += derived.time_contradictions(model, wanted, repeated)
    # Any seed will do: only the curves depend on it.
    found.contradictions += derived.measure_contradictions(model, again.assembly.task.measures)
    found.contradictions += derived.curve_contradictions(
        model, known[STEPS], known[EVALUATIONS], again.summary
    )
    found.contradictions += derived.headline_contradictions(
        name, model, folder / "metrics.json", again.assembly.task.headline
    )
    return found


def _train(params: Params, name: str, seed: int, data: Path, steps: int | None) -> Trained:
    training = assemble(params, name, seed, data)
    total = training.plan.steps
    if steps:
        return training.train(NoCheckpoint(), Observer(), min(steps, total))
    title = f"{name}, seed {seed}" if len(params.seeds) > 1 else name
    with Watch(title, training.task) as watch:
        return training.train(NoCheckpoint(), watch, total)


def _data(params: Params, expected: str, name: str, temporary: Path) -> Path:
    """The folder with the report's data; prepares them if data/<name> has others.

    Raises:
        UserError: the data in data/<name> are damaged, or those prepared now differ.
    """
    folder = data_dir(name)
    if _fingerprint(folder) == expected:
        # meta.json has the fingerprint of `prepare`; the file may have changed since.
        if [sha256(file) for file in folder.glob("*.safetensors")] != [expected]:
            raise UserError(
                f"{folder} is damaged: its tensors do not match the fingerprint in its meta.json; "
                f"`dvc repro prepare@{name}` prepares them again"
            )
        return folder
    folder = temporary / name
    with contextlib.redirect_stdout(sys.stderr):  # apart from the findings
        prepare(params, name, folder)
    if (found := _fingerprint(folder)) != expected:
        raise UserError(
            f"{name}: not the report's data: fingerprint {found}, in the report {expected}"
        )
    return folder


def _fingerprint(folder: Path) -> str | None:
    meta = folder / "meta.json"
    return read_json(meta)["fingerprint"] if meta.exists() else None
