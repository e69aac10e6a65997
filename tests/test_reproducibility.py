"""The same commit gives the same bytes, in whatever clone, one training after another or several at
once; and whoever has the bytes needs not train."""

import hashlib
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import repository
from tests.conftest import MODELS
from tests.interruption import runs
from tests.repository import run, stages_run

pytestmark = pytest.mark.long

# Files that differ between equal runs, and files outside all stages.
STATE = (".cache", ".checkpoints", ".records", ".dvc", ".git", "mlartifacts", "mlflow.db")


def load(file: Path) -> dict:
    return YAML(typ="safe", pure=True).load(file.read_text())


def files(folder: Path) -> dict[str, str]:
    """The checksum of every file of the workspace."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and "__pycache__" not in file.parts
        and not file.relative_to(folder).parts[0].startswith(STATE)
    }


def declared(folder: Path) -> list[str]:
    """All outputs in dvc.lock: paths of files and folders."""
    stages = load(folder / "dvc.lock")["stages"].values()
    return [out["path"] for stage in stages for out in stage["outs"]]


@pytest.fixture(scope="module")
def serial(smoke, tmp_path_factory) -> Path:
    """A clone in which `dvc exp run` has run all stages."""
    folder = tmp_path_factory.mktemp("serial") / "benchmark"
    return shutil.copytree(smoke[0], folder, symlinks=True)


@pytest.fixture(scope="module")
def side_by_side(serial, tmp_path_factory) -> tuple[Path, dict[str, str], str]:
    """Another clone, in which `python -m pipeline repro` has run them with two trainings at a time;
    its files before, and what was printed."""
    folder = repository.make_small(tmp_path_factory.mktemp("two") / "benchmark")
    shutil.copy(serial / "params.yaml", folder)
    before = files(folder)
    return folder, before, run(folder, "python", "-m", "pipeline", "repro", "--jobs", "2")


def test_two_clones_make_the_same_bytes(serial, side_by_side):
    one, (two, _, _) = serial, side_by_side
    ours, theirs = files(one), files(two)
    assert ours.keys() == theirs.keys()
    differing = {name for name in ours if ours[name] != theirs[name]}
    # The report has times and machine, and dvc.lock the report's checksum.
    assert differing <= {"reports/metrics.md", "reports/metrics.json", "dvc.lock"}
    locks = [load(folder / "dvc.lock")["stages"] for folder in (one, two)]
    assert list(locks[0]) == list(locks[1])
    for stage in locks[0]:
        if stage != "report":
            assert locks[0][stage] == locks[1][stage], stage
    assert len([name for name in ours if name.endswith(".safetensors")]) == 2 * len(MODELS)


def test_trainings_side_by_side_run_before_dvc_whose_stages_write_their_outputs(side_by_side):
    folder, _, output = side_by_side
    assert output.count("continues after step") == len(MODELS)
    assert len(runs(folder)) == len(MODELS)  # in MLflow: each training once


def test_every_declared_output_is_made_and_no_other(side_by_side):
    folder, before, _ = side_by_side
    outputs = declared(folder)
    assert all((folder / path).exists() for path in outputs)
    after = files(folder)
    made = {name for name in after if after[name] != before.get(name)} - {"dvc.lock"}
    stray = {
        name
        for name in made
        if not any(name == path or name.startswith(f"{path}/") for path in outputs)
    }
    assert stray == set()


def test_a_remote_restores_everything_without_training(serial, tmp_path):
    run(serial, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    repository.save(serial, "Results")
    run(serial, "dvc", "push")
    expected = files(serial)
    for name, commands in {
        "pulled": (["dvc", "pull"], ["dvc", "repro"]),
        "reproduced": (["dvc", "repro", "--pull"],),
    }.items():
        folder = tmp_path / name
        run(tmp_path, "git", "clone", "-q", str(serial), str(folder))
        for command in commands:
            assert stages_run(run(folder, *command)) == []
        assert files(folder) == expected
        assert "up to date" in run(folder, "dvc", "status")
