"""Train again, and compare with what a report says, to the bit.

All that is needed is the folder of the report: its metrics.json has the parameters, the
fingerprint of the data, the figures and the checksum of the weights, and the curves lie beside
it. What the report derives from its own figures and curves is derived again. Nothing is written
but the cache of downloads: what is made here goes to a temporary folder.
"""

import contextlib
import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file

from pipeline import models, records
from pipeline.errors import UserError
from pipeline.objectives import build as build_objective
from pipeline.objectives.base import Objective
from pipeline.params import Params, Training
from pipeline.paths import data_dir, model_dir, read_json
from pipeline.reporting import results, targets
from pipeline.stages import train as stage
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices
from pipeline.training.checkpoint import NoCheckpoint
from pipeline.training.compilation import require_compiler
from pipeline.training.history import History, mean, write_csv
from pipeline.training.loop import Plan
from pipeline.training.loop import train as run_loop
from pipeline.verification import derived, environment, recorded
from pipeline.verification.figures import differences
from pipeline.verification.recorded import Model, Trained
from transformer import Transformer, flops_per_step

CURVES = {"history.csv": "steps", "validation.csv": "evaluations"}
# Beyond it two curves are no longer called equal: a choice of words, the size is told as well.
CLOSE = 1e-3


@dataclass
class Findings:
    """What came of the comparison: things that are identical, and lines on what is not.

    largest: relative difference of any two figures, of the curves or at the end.
    contradictions: lines on where the report is not even in keeping with itself.
    """

    identical: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    largest: float = 0.0
    contradictions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Again:
    """A training as it came out now. cost: in floating-point operations a step."""

    objective: Objective
    model: Transformer
    settings: Training
    history: History
    cost: int

    def summary(self, history: History) -> dict[str, Any]:
        """What `train` would write of a training with this history."""
        return stage.summarize(self.model, self.objective, self.settings, history, self.cost)

    def evaluate(self, folder: Path) -> dict[str, Any]:
        """The figures of this training in a report; the model is read from `folder`, as in
        `evaluate`, after it is written there."""
        models.save(self.model, self.objective.model_config, folder)
        model, _ = models.load(folder)
        figures = self.objective.evaluate(model.to(self.objective.device))
        return self.summary(self.history) | figures


def verify(folder: Path, names: list[str], steps: int | None) -> bool:
    """Say of each model whether its first `steps` (None: all) come out as in the report.

    folder: of the report, with metrics.json, and the curves in a folder for each model.
    Returns whether everything is identical, and the report in keeping with itself.

    Raises:
        UserError: there is no such report, or its data are not to be had.
    """
    report, params = recorded.read(folder / "metrics.json")
    commit = (report.git_commit or "unknown")[:12]
    print(f"the report of {report.finished}, commit {commit}, profile {params.profile}", flush=True)
    contradictions = derived.report_contradictions(report, params)
    _tell(contradictions)
    everything = not contradictions
    for name in names:
        model = report.models[name]
        # Of a few steps the outcome alone is of interest.
        with contextlib.redirect_stdout(io.StringIO()) if steps else contextlib.nullcontext():
            found = _verify(params, model, folder / name, name, steps)
        everything = everything and not found.differing and not found.contradictions
        print(f"{name:<6}{_verdict(found)}", flush=True)
        details = found.differing
        if details:
            causes = environment.differences(model.trainings[0].record, params)
            details += [f"may explain it: {cause}" for cause in causes]
        for line in details:
            print(f"      {line}", flush=True)
        _tell(found.contradictions)
    print(f"not checked: {_unchecked(steps)}", flush=True)
    return everything


def _tell(contradictions: list[str]) -> None:
    for line in contradictions:
        print(f"      the report contradicts itself: {line}", flush=True)


def _unchecked(steps: int | None) -> str:
    """What is left to belief, as a line."""
    always = "metrics.md and the pictures; times, machines and descriptions of the data"
    if steps is None:
        return always
    return (
        f"the curves after {steps} {'steps' if steps > 1 else 'step'}, the weights, and figures "
        f"that do not follow from the curves (--all checks these); {always}"
    )


def compare(
    theirs: pd.DataFrame, ours: pd.DataFrame, what: str, whole: bool, found: Findings
) -> None:
    """Add to `found` whether two curves agree, and if not where they differ first.

    what: their rows are, such as "steps". whole: whether theirs may not go on for longer.
    """
    lengths = len(theirs) == len(ours) if whole else len(theirs) >= len(ours)
    if list(theirs.columns) != list(ours.columns) or not lengths:
        found.largest = float("inf")
        found.differing.append(
            f"not comparable: {len(theirs):,} recorded {what} of {', '.join(theirs.columns)}; "
            f"now {len(ours):,} of {', '.join(ours.columns)}"
        )
        return
    theirs = theirs.head(len(ours))
    count = f"{len(ours):,} {what if len(ours) > 1 else what.removesuffix('s')}"
    differing = theirs.ne(ours)
    if not differing.to_numpy().any():
        found.identical.append(count)
        return
    relative = (theirs - ours).abs() / theirs.abs().clip(lower=1e-12)
    found.largest = max(found.largest, relative.to_numpy().max())
    row = differing.any(axis=1).idxmax()
    column = differing.loc[row].idxmax()
    found.differing.append(
        f"{count}: first differs at step {int(ours['step'][row])} in {column}: "
        f"{theirs[column][row]:.9g} recorded, {ours[column][row]:.9g} now, "
        f"{relative[column][row]:.2g} of it; at most {relative.to_numpy().max():.2g}"
    )


def _verdict(found: Findings) -> str:
    if not found.differing:
        return f"identical: {', '.join(found.identical)}"
    same = f" (identical: {', '.join(found.identical)})" if found.identical else ""
    if not found.largest <= CLOSE:  # nor is anything close to what is not a number
        return f"different{same}"
    return f"equal within {found.largest:.2g}{same}" if found.largest else f"other weights{same}"


def _verify(
    params: Params, model: Model, folder: Path, name: str, steps: int | None
) -> Findings:
    """Train the model `name` with every seed, and compare with the curves in `folder`."""
    found = Findings()
    known = {file: recorded.curve(folder / file) for file in CURVES}
    with tempfile.TemporaryDirectory() as temporary:
        data = _data(params, model.data.fingerprint, name, Path(temporary))
        histories, figures = [], []
        for seed in params.seeds:
            again = _train(params, name, seed, data, steps)
            histories.append(again.history)
            if steps is None:
                figures.append(again.evaluate(Path(temporary) / f"seed-{seed}"))
        made = {
            "history.csv": mean([history.steps for history in histories]),
            "validation.csv": mean([history.evaluations for history in histories]),
        }
        for file, rows in made.items():
            if rows:  # a few steps may end before the first evaluation
                # Written and read like the recorded curve: what is compared is what is on disk.
                write_csv(rows, Path(temporary) / file)
                ours = recorded.curve(Path(temporary) / file)
                compare(known[file], ours, CURVES[file], steps is None, found)
        if steps is None:
            for training, ours in zip(model.trainings, figures, strict=True):
                weights = Path(temporary) / f"seed-{training.seed}" / models.WEIGHTS
                _compare_weights(training, name, weights, found)
                _compare_figures(training, ours, found)
            trainings = [
                results.Training(seed, ours, None, pd.DataFrame(history.evaluations))
                for seed, ours, history in zip(params.seeds, figures, histories, strict=True)
            ]
            found.contradictions += derived.time_contradictions(
                model, targets.load()[name], trainings
            )
    # Of any seed: what depends on the seed is in the curves.
    found.contradictions += derived.measure_contradictions(model, again.objective.measures)
    found.contradictions += derived.curve_contradictions(
        model, known["history.csv"], known["validation.csv"], again.summary
    )
    found.contradictions += derived.headline_contradictions(
        name, model, folder / "metrics.json", again.objective.headline
    )
    return found


def _compare_figures(training: Trained, ours: dict[str, Any], found: Findings) -> None:
    """The figures of the training and of the evaluation, all but the checksum among them."""
    theirs = training.figures.model_dump(exclude={"weights_sha256"})
    differing = differences(theirs, ours)
    if not differing:
        found.identical.append(f"{len(ours)} figures with seed {training.seed}")
    for said, size in differing:
        found.largest = max(found.largest, size)
        found.differing.append(f"with seed {training.seed}, {said}")


def _compare_weights(training: Trained, name: str, file: Path, found: Findings) -> None:
    """The trained weights against the recorded checksum, and tensor by tensor where they are."""
    expected, seed = training.figures.weights_sha256, training.seed
    if records.sha256(file) == expected:
        found.identical.append(f"weights with seed {seed} (SHA-256 {expected[:12]})")
        return
    ours = load_file(file)
    kept = model_dir(name, seed) / models.WEIGHTS
    if not kept.exists() or records.sha256(kept) != expected:
        found.differing.append(
            f"other weights with seed {seed}; how much is not known, since {kept} does not hold "
            "the recorded ones"
        )
        return
    theirs = load_file(kept)
    sizes = {key: (theirs[key] - ours[key]).abs().max().item() for key in sorted(ours)}
    first = next((key for key, size in sizes.items() if size != 0), None)
    found.differing.append(
        f"other weights with seed {seed}: the first tensor that differs is {first}, by "
        f"{sizes[first]:.2g} at most; of {len(sizes)} tensors {sum(map(bool, sizes.values()))} "
        f"differ, by {max(sizes.values()):.2g} at most"
        if first
        else f"other weights with seed {seed}, by the file's checksum alone: all tensors are equal"
    )


def _train(
    params: Params, name: str, seed: int, data: Path, steps: int | None
) -> Again:
    device, settings = devices.prepare(params), params.section(name).train
    if settings.compile:
        require_compiler(name, device)
    objective = build_objective(name, params, seed, data, device)
    model = objective.build_model()
    cost = flops_per_step(model, **objective.model_inputs(objective.training_batch(0)))
    total = Plan.of(settings, objective).steps
    history, _ = run_loop(
        f"{name}, seed {seed}, again",
        model.to(device),
        objective,
        settings,
        NoCheckpoint(),
        _publish_nothing,
        min(steps or total, total),
    )
    return Again(objective, model, settings, history, cost)


def _publish_nothing(*_: Any) -> None:
    """MLflow need not know of a verification."""


def _data(params: Params, expected: str, name: str, temporary: Path) -> Path:
    """The data that the report was made with: prepared already, or prepared now.

    Raises:
        UserError: those prepared already are damaged, or those prepared now are others.
    """
    folder = data_dir(name)
    if _fingerprint(folder) == expected:
        # The fingerprint that meta.json has is what `prepare` once wrote, not what is there now.
        if [records.sha256(file) for file in folder.glob("*.safetensors")] != [expected]:
            raise UserError(
                f"{folder} is damaged: its tensors are not those of the fingerprint in its "
                f"meta.json; `dvc repro prepare@{name}` prepares them again"
            )
        return folder
    folder = temporary / name
    prepare(params, name, folder)
    if (found := _fingerprint(folder)) != expected:
        raise UserError(
            f"{name}: these are not the report's data: fingerprint {found}, in the report "
            f"{expected}"
        )
    return folder


def _fingerprint(folder: Path) -> str | None:
    meta = folder / "meta.json"
    return read_json(meta)["fingerprint"] if meta.exists() else None
