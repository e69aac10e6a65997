"""DVC watches own data in data/own, but ignores files of other systems."""

import shutil
from pathlib import Path

import pytest

from pipeline.data.image_folders import LITTER, is_litter
from tests.conftest import ROOT
from tests.repository import run

OWN = Path("data") / "own"


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Path:
    """A project with a stage that reads data/own, with a picture and the README."""
    folder = tmp_path_factory.mktemp("watched")
    picture = folder / OWN / "flowers" / "daisy" / "1.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a picture")
    shutil.copy(ROOT / OWN / "README.md", folder / OWN)
    shutil.copy(ROOT / ".dvcignore", folder)
    (folder / "dvc.yaml").write_text("stages: {read: {cmd: 'true', deps: [data/own]}}\n")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "repro", "-q")
    return folder


def test_files_of_other_systems_run_no_stage(watched):
    for name in (*LITTER, ".DS_Store", "._1.png"):
        for place in (OWN, OWN / "flowers", OWN / "flowers" / "daisy"):
            assert is_litter(Path(name))
            (watched / place / name).write_bytes(b"rubbish")
    for name in (".ipynb_checkpoints/1-checkpoint.png", "inner/__MACOSX/1.png"):
        file = watched / OWN / "flowers" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"rubbish")
    (watched / OWN / "README.md").write_text("Another edition of the page.")
    assert "up to date" in run(watched, "dvc", "status")


@pytest.mark.parametrize("name", ["novel.txt", "flowers/daisy/2.png", "flowers/train/x/1.png"])
def test_changed_data_run_the_stage(watched, name):
    file = watched / OWN / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"data")
    assert "modified:           data/own" in run(watched, "dvc", "status")
    file.unlink()


def test_data_own_without_data_is_no_missing_dependency(watched):
    shutil.rmtree(watched / OWN / "flowers")
    run(watched, "dvc", "repro", "-q")
    assert "up to date" in run(watched, "dvc", "status")
