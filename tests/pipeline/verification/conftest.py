"""A finished project with its report."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.params import Params, validate
from pipeline.paths import data_dir, read_json, write_json
from pipeline.stages.aggregate import aggregate
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from tests.conftest import ROOT, WITH_TARGETS, of_all_workers
from tests.pipeline.verification.reports import REPORT


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder where the first test that needs a finished project keeps it for the others."""
    return of_all_workers(tmp_path_factory) / "finished"


@pytest.fixture
def reported(small: Params, project: Path, finished: Path) -> Path:
    """A project with a report on three models, each trained with two seeds."""
    with FileLock(finished.with_suffix(".lock")):
        if finished.exists():
            shutil.copytree(finished, project, dirs_exist_ok=True)
        else:
            _finish(small)
            shutil.copytree(project, finished)
    return project


def _finish(small: Params) -> None:
    params = validate(small.content() | {"seeds": [0, 1], "model_names": list(WITH_TARGETS)})
    for name in WITH_TARGETS:
        prepare(params, name)
        meta = data_dir(name) / "meta.json"
        write_json(read_json(meta) | {"own": False}, meta)  # a user's own data have no targets
        for seed in params.seeds:
            train(params, name, seed)
            evaluate(params, name, seed)
        aggregate(params, name)
    shutil.copytree(ROOT / "reports" / "reference", REPORT / "reference")
    shutil.copy(ROOT / "reports" / "targets.yaml", REPORT)
    report(params)
