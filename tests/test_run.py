"""`./run` in a fresh clone, with this environment in place of one of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import plots
from tests import repository


def clone(folder: Path) -> Path:
    repository.make(folder)
    environment = folder / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "requirements.lock":
            (environment / part.name).symlink_to(part)
    shutil.copy(folder / "requirements.lock", environment)  # the sign that it is complete
    return folder


def test_a_path_and_a_locale_without_a_letter_in_common(tmp_path):
    """A path with an ü where the locale has ASCII alone."""
    folder = clone(tmp_path / "sp ü c")
    environment = repository.environment() | {"LC_ALL": "C"}
    command = ["./run", "dvc", "plots", "show"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (folder / "dvc_plots" / "index.html").read_text("utf-8")
    assert len(page) > 1_000_000 and "cdn." not in page  # Vega itself, and not its address


def test_a_dvc_lock_that_was_cut_off_is_put_right_on_the_way(tmp_path):
    folder = clone(tmp_path / "clone")
    whole = (folder / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_bytes(whole[: len(whole) // 2])
    assert "dvc.lock was cut off" in repository.run(folder, "./run", "dvc", "stage", "list")
    assert (folder / "dvc.lock").read_bytes() == whole


def test_offline_plots_are_there_with_their_setting_or_not_at_all(project, monkeypatch):
    def fail(command, check):
        raise subprocess.CalledProcessError(255, command)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(subprocess.CalledProcessError):
        plots.make_offline()
    assert not plots.TEMPLATE.exists()
