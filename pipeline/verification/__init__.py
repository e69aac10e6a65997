"""Train again, and compare with what a report says, to the bit.

All that is needed is the folder of the report: its metrics.json has the parameters, the
fingerprint of the data, the figures and the checksum of the weights, and the curves lie beside
it. What the report derives from its own figures and curves is derived again. Nothing is written
but the cache of downloads: what is made here goes to a temporary folder.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import models, records
from pipeline.errors import UserError
from pipeline.objectives import build as build_objective
from pipeline.objectives.base import Objective
from pipeline.params import Params, Training
from pipeline.paths import data_dir, read_json
from pipeline.reporting import results, targets
from pipeline.reproduction import Reproduction
from pipeline.stages import train as stage
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices
from pipeline.training.checkpoint import NoCheckpoint
from pipeline.training.compilation import require_compiler
from pipeline.training.console import alive
from pipeline.training.cost import flops_per_step
from pipeline.training.history import History, mean, write_csv
from pipeline.training.loop import Plan
from pipeline.training.loop import train as run_loop
from pipeline.verification import derived, environment, recorded
from pipeline.verification.findings import (
    Findings,
    compare_curves,
    compare_figures,
    compare_weights,
)
from pipeline.verification.recorded import Model
from pipeline.wording import counted, wrapped
from transformer import Transformer

CURVES = {"history.csv": "step", "validation.csv": "evaluation"}


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
    label = Reproduction(report.profile, report.changes).label
    _say(f"the report of {report.finished}, commit {commit}, profile {label}")
    contradictions = derived.report_contradictions(report, params)
    _tell(contradictions)
    everything = not contradictions
    for name in names:
        model = report.models[name]
        with _quietly(name, steps):
            found = _verify(params, model, folder / name, name, steps)
        everything = everything and not found.differing and not found.contradictions
        _say(f"{name:<6}{found.verdict()}")
        details = found.differing
        if details:
            causes = environment.differences(model.trainings[0].record, params)
            details += [f"may explain it: {cause}" for cause in causes]
        for line in details:
            _say(f"      {line}")
        _tell(found.contradictions)
    _say(f"not checked: {_unchecked(steps)}")
    return everything


@contextlib.contextmanager
def _quietly(name: str, steps: int | None) -> Iterator[None]:
    """Of a few steps the outcome alone is of interest, and meanwhile that something goes on."""
    if steps is None:
        yield
    else:
        with (
            alive(f"{name}: training {counted(steps, 'step')} again"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield


def _tell(contradictions: list[str]) -> None:
    for line in contradictions:
        _say(f"      the report contradicts itself: {line}")


def _say(text: str) -> None:
    # Deeper than any line begins, so that one can tell where the next one does.
    print(wrapped(text, indent=8), flush=True)


def _unchecked(steps: int | None) -> str:
    """What is left to belief, as a line."""
    always = "metrics.md and the pictures; times, machines and descriptions of the data"
    if steps is None:
        return always
    return (
        f"the curves after {counted(steps, 'step')}, the weights, and figures "
        f"that do not follow from the curves (--all checks these); {always}"
    )


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
                compare_curves(known[file], ours, CURVES[file], steps is None, found)
        if steps is None:
            for training, ours in zip(model.trainings, figures, strict=True):
                weights = Path(temporary) / f"seed-{training.seed}" / models.WEIGHTS
                compare_weights(training, name, weights, found)
                compare_figures(training, ours, found)
            trainings = [
                results.Training(
                    seed, ours, None, pd.DataFrame(history.steps), pd.DataFrame(history.evaluations)
                )
                for seed, ours, history in zip(params.seeds, figures, histories, strict=True)
            ]
            wanted = None if model.data.own else targets.load()[name]
            found.contradictions += derived.time_contradictions(model, wanted, trainings)
    # Of any seed: what depends on the seed is in the curves.
    found.contradictions += derived.measure_contradictions(model, again.objective.measures)
    found.contradictions += derived.curve_contradictions(
        model, known["history.csv"], known["validation.csv"], again.summary
    )
    found.contradictions += derived.headline_contradictions(
        name, model, folder / "metrics.json", again.objective.headline
    )
    return found


def _train(
    params: Params, name: str, seed: int, data: Path, steps: int | None
) -> Again:
    device, settings = devices.prepare(params), params.section(name).train
    if settings.compile:
        require_compiler(name, device)
    objective = build_objective(name, params, seed, data, device)
    model = objective.build_model()
    cost = flops_per_step(model, objective, settings)
    total = Plan.of(settings, objective).steps
    history, _ = run_loop(
        f"{name}, seed {seed}" if len(params.seeds) > 1 else name,
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
