"""`compile: true` without a compiler."""

import os
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from pipeline.params import validate
from pipeline.stages.prepare import prepare
from tests.conftest import ROOT


@pytest.fixture
def compiled(small, project):
    """Prepared data and params.yaml of a BERT with `compile: true`."""
    raw = small.content()
    raw["bert"]["train"]["compile"] = True
    with (project / "params.yaml").open("w") as file:
        YAML().dump(raw, file)
    prepare(validate(raw), "bert")
    return project


def test_without_a_compiler_a_training_ends_before_it_begins(compiled):
    (compiled / "mlflow.db").unlink()
    environment = os.environ | {"CXX": "no-such-compiler", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "train", "--model", "bert"],
        cwd=compiled,
        env=environment | {"TORCHINDUCTOR_CACHE_DIR": str(compiled / "inductor")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: params.yaml: bert.train.compile: true, but torch cannot")
    assert "No working C++ compiler found" in done.stderr and "g++" in done.stderr
    assert not (compiled / "mlflow.db").exists()  # there is no failed run
