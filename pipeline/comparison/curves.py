"""The learning curves of experiments: means and ranges over the seeds."""

import io
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd

from pipeline.comparison.experiments import Experiment
from pipeline.curves import EVALUATIONS, STEPS
from pipeline.errors import UserError
from pipeline.paths import REPORTS, model_dir

POINTS = 150  # most points of a curve of steps
Tables = dict[str, list[pd.DataFrame]]  # by the name of their file, one for each seed


def curves(experiment: Experiment, model: str) -> tuple[list[dict[str, Any]], bool]:
    """The points of all curves of a model, and whether they are those of all its seeds: git has the
    means, and DVC's cache the curves of single seeds, if they were not removed from it.

    A point has: metric, experiment, seen (units, such as tokens), mean, low, high. The loss of
    training batches is called `training batches`.
    """
    single = len(experiment.models[model].trainings) == 1
    of_seeds = None if single else _of_seeds(experiment, model)
    tables = of_seeds or _means(experiment, model)
    unit = experiment.models[model].metrics["unit"]
    steps = _coarser([each[[unit, "loss"]] for each in tables[STEPS]])
    measured = {metric: metric for metric in experiment.headline[model]}
    points = [
        *_points(steps, unit, {"loss": "training batches"}),
        *_points(tables[EVALUATIONS], unit, measured),
    ]
    named = [point | {"experiment": experiment.name} for point in points]
    return named, single or of_seeds is not None


def _means(experiment: Experiment, model: str) -> Tables:
    """The means over the seeds, in git.

    Raises:
        UserError: they are missing.
    """
    found = {}
    for file in (STEPS, EVALUATIONS):
        place = REPORTS / model / file
        text = experiment.revision.read(place)
        if text is None:
            raise UserError(f"{experiment.name}: {place} is missing: run `dvc repro` there")
        found[file] = [_read(text)]
    return found


def _of_seeds(experiment: Experiment, model: str) -> Tables | None:
    """The curves of each seed; None if DVC does not have them, or the workspace has others."""
    found: Tables = {STEPS: [], EVALUATIONS: []}
    try:
        files = _files(experiment.revision.commit)
        for training in experiment.models[model].trainings:
            folder = model_dir(model, training.seed)
            summary = json.loads(files.read_text(str(folder / "summary.json")))
            if summary["weights_sha256"] != training.metrics["weights_sha256"]:
                return None
            for file, tables in found.items():
                tables.append(_read(files.read_text(str(folder / file))))
    except Exception:  # DVC, its remotes and git raise many kinds
        return None
    return found


@cache
def _files(commit: str | None) -> Any:
    """The files of a commit with those of DVC, which takes it a second to list; or of the
    workspace."""
    from dvc.api import DVCFileSystem
    from fsspec.implementations.local import LocalFileSystem

    return DVCFileSystem(rev=commit) if commit else LocalFileSystem()


def _read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def _coarser(tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Means of successive steps, POINTS of them at most."""
    size = -(-len(tables[0]) // POINTS)
    return [table.groupby(table.index // size).mean() for table in tables]


def _points(
    tables: list[pd.DataFrame], unit: str, metrics: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """The points of the curves of some columns, over the same steps of each seed.

    metrics: names of the curves by column; a column may be missing.
    """
    for column, metric in metrics.items():
        if column in tables[0]:
            values = pd.concat([table[column] for table in tables], axis=1)
            for seen, row in zip(tables[0][unit], values.to_numpy(), strict=True):
                mean, low, high = map(float, (row.mean(), row.min(), row.max()))
                yield {"metric": metric, "seen": float(seen), "mean": mean, "low": low,
                       "high": high}  # fmt: skip
