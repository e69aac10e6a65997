"""The same commit gives the same bytes, in whatever clone; and whoever has the bytes needs not
train."""

import hashlib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import repository
from tests.conftest import MODELS
from tests.repository import run
from tests.test_pipeline import stages_run

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
def clones(tmp_path_factory):
    """Two clones that have run the smoke profile, and the earlier files of the first."""
    folders = []
    for name in ("one", "two"):
        folder = repository.make(tmp_path_factory.mktemp(name) / "benchmark")
        before = files(folder)
        run(folder, "dvc", "exp", "run", "-S", "+profile=smoke")
        folders.append((folder, before))
    return folders


def test_two_clones_make_the_same_bytes(clones):
    (one, _), (two, _) = clones
    ours, theirs = files(one), files(two)
    assert ours.keys() == theirs.keys()
    differing = {name for name in ours if ours[name] != theirs[name]}
    # The report has times and machine, and dvc.lock the report's checksum.
    assert differing <= {"reports/metrics.md", "reports/metrics.json", "dvc.lock"}
    locks = [load(folder / "dvc.lock")["stages"] for folder in (one, two)]
    for stage in locks[0]:
        if stage != "report":
            assert locks[0][stage] == locks[1][stage], stage
    assert len([name for name in ours if name.endswith(".safetensors")]) == 2 * len(MODELS)


def test_every_declared_output_is_made_and_no_other(clones):
    (folder, before), _ = clones
    outputs = declared(folder)
    assert all((folder / path).exists() for path in outputs)
    after = files(folder)
    made = {name for name in after if after[name] != before.get(name)}
    made -= {"dvc.lock", "params.yaml"}  # written by DVC, and changed by -S
    stray = {
        name
        for name in made
        if not any(name == path or name.startswith(f"{path}/") for path in outputs)
    }
    assert stray == set()


def test_a_remote_restores_everything_without_training(clones, tmp_path):
    (first, _), _ = clones
    run(first, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    repository.save(first, "Results")
    run(first, "dvc", "push")
    expected = files(first)
    for name, commands in {
        "pulled": (["dvc", "pull"], ["dvc", "repro"]),
        "reproduced": (["dvc", "repro", "--pull"],),
    }.items():
        folder = tmp_path / name
        run(tmp_path, "git", "clone", "-q", str(first), str(folder))
        for command in commands:
            assert stages_run(run(folder, *command)) == []
        assert files(folder) == expected
        assert "up to date" in run(folder, "dvc", "status")
