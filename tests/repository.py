"""A fresh repository with the files of the working tree, and commands that run in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def make(folder: Path, commit: bool = True) -> Path:
    """Copy all tracked files to `folder` and commit them there."""
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "-q")
    if commit:
        save(folder, "The working tree")
    return folder


def save(folder: Path, message: str) -> None:
    """Commit everything."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "-qm", message)


def environment() -> dict[str, str]:
    """Environment variables: PATH, a git identity, no variables of an outer run."""
    names = {f"GIT_{role}_NAME": "test" for role in ("AUTHOR", "COMMITTER")}
    addresses = {f"GIT_{role}_EMAIL": "test@example.org" for role in ("AUTHOR", "COMMITTER")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = os.environ | {"PATH": path} | names | addresses
    for key in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        ours.pop(key, None)
    return ours


def run(folder: Path, *command: str, code: int = 0) -> str:
    """The output of a command, which must end with the exit code `code`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == code, done.stdout
    return done.stdout
