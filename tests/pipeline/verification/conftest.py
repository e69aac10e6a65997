"""A finished project with its report."""

import shutil
from pathlib import Path

import pytest

from pipeline.params import Params, validate
from pipeline.paths import data_dir, read_json, write_json
from pipeline.stages.aggregate import aggregate
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from tests.conftest import ROOT, WITH_TARGETS
from tests.pipeline.verification.reports import REPORT


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder where the first test that needs a finished project keeps it for the others."""
    return tmp_path_factory.mktemp("finished") / "project"


@pytest.fixture
def reported(small: Params, project: Path, finished: Path) -> Path:
    """A project with a report on three models, each trained with two seeds."""
    if finished.exists():
        shutil.copytree(finished, project, dirs_exist_ok=True)
        return project
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
    shutil.copytree(project, finished)
    return project
