"""Train again, and compare with what a report says, to the bit."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from safetensors.torch import load_file

from pipeline import models, records
from pipeline.errors import UserError
from pipeline.objectives import build as build_objective
from pipeline.params import Params
from pipeline.paths import data_dir, model_dir, read_json
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices
from pipeline.training.checkpoint import NoCheckpoint
from pipeline.training.history import mean, write_csv
from pipeline.training.loop import Plan
from pipeline.training.loop import train as run_loop
from transformer import Transformer


def verify(report: Path, names: list[str], steps: int | None) -> bool:
    """Say of each model whether its first `steps` (None: all) come out as in the report.

    report: a folder with metrics.json, and the curves in a folder for each model.
    Returns whether everything is identical.

    Raises:
        UserError: there is no report, or its data are not to be had.
    """
    recorded = _read(report / "metrics.json")
    try:
        params = Params.model_validate(recorded["params"])
    except (KeyError, ValidationError) as error:
        raise UserError(
            f"{report / 'metrics.json'}: not a report of this version of the program: {error}"
        ) from None
    identical = True
    for name in names:
        findings = _verify(params, recorded, report, name, steps)
        print("\n".join(f"{name}: {finding}" for finding in findings), flush=True)
        if not findings[0].startswith("identical"):
            identical = False
            for difference in _environment(recorded["models"][name], params):
                print(f"  this may explain it: {difference}")
    return identical


def _verify(
    params: Params, recorded: dict[str, Any], report: Path, name: str, steps: int | None
) -> list[str]:
    """What was found of one model: a verdict, and details."""
    file = report / name / "history.csv"
    if not file.exists():
        raise UserError(f"{file} is missing: there is no curve to compare with")
    with tempfile.TemporaryDirectory() as temporary:
        data = _data(params, recorded["models"][name]["data"], name, Path(temporary))
        trained = [_train(params, name, seed, data, steps) for seed in params.seeds]
        # Written and read like the recorded curve: what is compared is what is on disk.
        again = Path(temporary) / "history.csv"
        write_csv(mean([history for history, _ in trained]), again)
        ours, theirs = pd.read_csv(again), pd.read_csv(file)
    findings = compare(theirs.head(len(ours)), ours)
    if steps is None:
        for seed, (_, model) in zip(params.seeds, trained, strict=True):
            findings += _compare_weights(recorded["models"][name], name, seed, model)
    return findings


def compare(theirs: pd.DataFrame, ours: pd.DataFrame) -> list[str]:
    """Two curves, step by step: 'identical', or where they differ first, and by how much."""
    if list(theirs.columns) != list(ours.columns) or len(theirs) != len(ours):
        return ["not comparable: the recorded curve has other columns or fewer steps"]
    span = f"{len(ours):,} steps"
    differing = theirs.ne(ours)
    if not differing.to_numpy().any():
        return [f"identical: {span}, in {', '.join(ours.columns[1:])}"]
    relative = ((theirs - ours).abs() / theirs.abs().clip(lower=1e-12)).to_numpy().max()
    row = differing.any(axis=1).idxmax()
    column = differing.loc[row].idxmax()
    return [
        f"equal within {relative:.2g}: {span}, the largest relative difference",
        f"first differs at step {int(ours['step'][row])} in {column}: recorded "
        f"{theirs[column][row]!r}, now {ours[column][row]!r}",
    ]


def _compare_weights(
    recorded: dict[str, Any], name: str, seed: int, model: Transformer
) -> list[str]:
    """The trained weights against the recorded checksum, and tensor by tensor where they are."""
    expected = next(
        training["figures"]["weights_sha256"]
        for training in recorded["trainings"]
        if training["seed"] == seed
    )
    with tempfile.TemporaryDirectory() as temporary:
        models.save(model, {}, Path(temporary))
        found = Path(temporary) / models.WEIGHTS
        if records.sha256(found) == expected:
            return [f"identical weights, seed {seed}: SHA-256 {expected}"]
        ours = load_file(found)
    kept = model_dir(name, seed) / models.WEIGHTS
    if not kept.exists() or records.sha256(kept) != expected:
        return [f"other weights, seed {seed}: the recorded ones are not at {kept} to compare with"]
    theirs = load_file(kept)
    differences = {key: (theirs[key] - ours[key]).abs().max().item() for key in sorted(ours)}
    tensor = next(key for key, size in differences.items() if size)
    return [
        f"other weights, seed {seed}: the first tensor that differs is {tensor}, by "
        f"{differences[tensor]:.2g} at most; over all, {max(differences.values()):.2g}"
    ]


def _train(
    params: Params, name: str, seed: int, data: Path, steps: int | None
) -> tuple[list[dict[str, float]], Transformer]:
    device = devices.prepare(params)
    objective = build_objective(name, params, seed, data, device)
    model = objective.build_model().to(device)
    settings = params.section(name).train
    until = min(steps or Plan.of(settings, objective).steps, Plan.of(settings, objective).steps)
    history, _ = run_loop(
        f"{name}, again", model, objective, settings, NoCheckpoint(), _publish_nothing, until
    )
    return history.steps, model.cpu()


def _publish_nothing(*_: Any) -> None:
    """MLflow need not know of a verification."""


def _data(params: Params, expected: dict[str, Any], name: str, temporary: Path) -> Path:
    """The data that the report was made with: prepared already, or prepared now."""
    folder = data_dir(name)
    meta = folder / "meta.json"
    if not meta.exists() or read_json(meta)["fingerprint"] != expected["fingerprint"]:
        folder = temporary / name
        prepare(params, name, folder)
    found = read_json(folder / "meta.json")["fingerprint"]
    if found != expected["fingerprint"]:
        raise UserError(
            f"{name}: these are not the report's data: fingerprint {found}, in the report "
            f"{expected['fingerprint']}"
        )
    return folder


def _environment(recorded: dict[str, Any], params: Params) -> list[str]:
    """What is different here from where the report was made."""
    record = recorded["trainings"][0]["record"]
    if record is None:
        return ["the report does not say on which machine and versions it was made"]
    differences = []
    ours = {"processor": records.machine()["cpu"], "device": devices.name(devices.prepare(params))}
    theirs = {"processor": record["machine"]["cpu"], "device": record["device"]}
    ours |= records.versions()
    theirs |= record["versions"]
    for key in theirs:
        if ours.get(key) != theirs[key]:
            differences.append(f"{key}: {theirs[key]} then, {ours.get(key, 'missing')} now")
    cores = records.machine()["cores"]
    if cores < params.threads:
        differences.append(f"threads: {params.threads} asked for, {cores} cores here")
    return differences or ["nothing that is recorded: the same versions on the same processor"]


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: run `dvc repro` first, or name a report") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: not JSON: {error}") from None
