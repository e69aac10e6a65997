"""A fresh repository with the files of the working tree, and commands that run in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT

Change = Callable[[dict[str, Any]], object]  # of the content of params.yaml


def make(folder: Path, commit: bool = True) -> Path:
    """Copy all tracked files to `folder`, without dvc.lock, and commit them there."""
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    for name in tracked:
        if (ROOT / name).is_file() and name != "dvc.lock":
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


def make_small(folder: Path, change: Change = lambda _: None) -> Path:
    """The same with parameters for trainings of a second, on data of the registry.

    change: changes the parameters further.
    """
    make(folder, commit=False)
    yaml, file = YAML(), folder / "params.yaml"
    params = yaml.load(file)
    # One thread: on a busy machine two threads wait for each other.
    params["threads"] = 1
    params["model"] |= {"n_layer": 1, "n_head": 2, "d_model": 16, "d_mlp": 32}
    intervals = {"evaluate_every": 8, "checkpoint_every": 8, "log_every": 4}
    for name in ("bert", "gpt"):
        params[name]["data"] |= {"text": "hamlet", "tokenizer": "word", "sequence_length": 20}
        params[name]["train"] |= {"steps": 8, "batch_size": 8, "warmup_steps": 0} | intervals
    params["g2p"]["data"] |= {"validation_fraction": 0.002, "test_fraction": 0.002}
    for key in ("n_layer", "d_model", "d_mlp"):  # of the size of the others
        del params["g2p"]["model"][key]
    params["g2p"]["train"] |= {"steps": 8, "batch_size": 8, "warmup_steps": 0} | intervals
    params["vit"]["data"]["image_size"] = 14
    params["vit"]["train"] |= {"epochs": 1, "batch_size": 256, "warmup_steps": 0}
    change(params)
    yaml.dump(params, file)
    save(folder, "Small parameters")
    return folder


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


def stages_run(output: str) -> list[str]:
    """The stages that DVC says it runs."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]
