"""Runs commands of DVC in a copy, and the trainings of a cluster on its nodes.

It imports the standard library alone: on a node, the project's code arrives with it, as a bundle.

A node keeps checkpoints, downloads and DVC's cache in a folder of its own, so that a training
continues there after its process was killed.
"""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PATIENCE = 3600  # seconds for which an upload is tried again if the remote does not answer
PAUSE = 5  # seconds between two attempts
INTERVAL = 0.5  # seconds between looks at a command


@dataclass(frozen=True)
class Order:
    """A training that a node is asked for.

    repository: a name for the folder of the node. config: of DVC, with the remote.
    params: params.yaml. training: model and seed, as in the names of stages. recipe: its hash.
    versions: of the packages that decide the results.
    """

    repository: str
    config: str
    params: str
    training: str
    recipe: str
    experiment: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Done:
    """The end of a training: whether it and its upload succeeded, what was printed, and the
    records of times by their paths."""

    succeeded: bool
    log: str
    records: dict[str, str]


class Board:
    """An actor of Ray: what the nodes tell of their trainings, by recipe."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, object]] = {}

    def tell(self, recipe: str, content: dict[str, object]) -> None:
        """Replace what was told of a training."""
        self._told[recipe] = content

    def all(self) -> dict[str, dict[str, object]]:
        """What was told last."""
        return self._told


def fulfil(order: Order, bundle: bytes, board: Any) -> Done:
    """Train, and upload the results to the DVC remote; a task of Ray.

    bundle: of git, with the branches `head` and `tree`; see `copies.Snapshot`.
    board: the actor that is told where the training runs, and its progress.
    """
    # A node that was started in the background of a script ignores SIGINT, and so would `dvc`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    host = socket.gethostname()
    if wrong := _differences(order.versions):
        return Done(False, f"{host} has other versions: {wrong}\n", {})
    root = Path(tempfile.gettempdir()) / f"sweeps-{getpass.getuser()}" / order.repository
    root.parent.mkdir(mode=0o700, exist_ok=True)  # copies have the keys of the remote
    folder = root / "copies" / f"{host}-{os.getpid()}"
    for other in folder.parent.glob(f"{host}-*/"):
        process = int(other.name.removeprefix(f"{host}-"))
        if process == os.getpid() or not _runs(process):
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _unpack(order, bundle, folder, root)
        log = folder / ".dvc" / "tmp" / "sweep.log"
        log.parent.mkdir(exist_ok=True)

        def run(where: str, *command: str) -> bool:
            process = dvc([*command, f"evaluate@{order.training}"], folder, root,
                          order.experiment, log)  # fmt: skip
            try:
                while process.poll() is None:
                    board.tell.remote(order.recipe, {"where": where, **progress(folder)})
                    time.sleep(INTERVAL)
            except BaseException:  # Ray's interruption
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                process.wait()
                raise
            return process.returncode == 0

        def retried(attempt: Callable[[str], bool], problem: str) -> bool:
            where, end = host, time.monotonic() + PATIENCE
            while not attempt(where):
                if time.monotonic() > end:
                    return False
                where = f"{host}: {problem}"
                time.sleep(PAUSE)
            return True

        def answers(where: str) -> bool:
            board.tell.remote(order.recipe, {"where": where})
            with log.open("ab") as output:
                command = [sys.executable, "-m", "pipeline.sweeping.remote"]
                return subprocess.run(command, cwd=folder, stderr=output).returncode == 0

        succeeded = (
            retried(answers, "waits for the remote")
            and run(host, "repro", "--pull")
            and retried(
                lambda where: run(where, "push", "--run-cache", "--with-deps"), "upload failed"
            )
        )
        return Done(succeeded, log.read_text(errors="replace"), _records(order, root))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dvc(
    command: list[str], folder: Path, root: Path, experiment: str, log: Path, trains: bool = True
) -> "subprocess.Popen[bytes]":
    """Start a command of DVC in the copy `folder`; it ends with this process.

    root: where its stages keep what is not in DVC. experiment: names its runs in MLflow.
    log: what it prints is added to this file. trains: whether its stages may train.
    """
    # The stages' `python` is this one. The other variables are those of `pipeline.paths`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = {"SWEEP_ROOT": str(root), "SWEEP_PROCESS": str(os.getpid())}
    if not trains:
        told["SWEEP_CLUSTER"] = "1"
    # Ray blocks SIGINT in its workers, and a new process inherits that.
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", *command],
                cwd=folder,
                env=os.environ | told | {"PATH": path, "DVC_EXP_NAME": experiment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it only from us
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def progress(folder: Path) -> dict[str, float]:
    """Of the training in a copy: step, steps, and left: expected seconds; empty before the first
    logged step."""
    try:
        return json.loads((folder / ".dvc" / "tmp" / "progress.json").read_text())
    except (OSError, ValueError):
        return {}


def _runs(process: int) -> bool:
    """Whether a process of this user runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _differences(versions: dict[str, str]) -> str:
    wrong = []
    for package, wanted in versions.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{package} {found}, not {wanted}")
    return ", ".join(wrong)


def _unpack(order: Order, content: bytes, folder: Path, root: Path) -> None:
    bundle = folder.with_suffix(".bundle")
    bundle.write_bytes(content)
    for command in (
        ["clone", "--quiet", "--no-checkout", str(bundle), "."],
        ["checkout", "--quiet", "--detach", "origin/head"],
        ["restore", "--source=origin/tree", "--staged", "--worktree", "."],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    bundle.unlink()
    cache = f"[cache]\n    dir = {root / 'cache'}\n"
    (folder / ".dvc" / "config.local").write_text(order.config + cache)
    (folder / "params.yaml").write_text(order.params)


def _records(order: Order, root: Path) -> dict[str, str]:
    folder = root / ".records"
    files = [
        *folder.glob(f"*-{order.training}-*.json"),
        folder / "recipes" / f"{order.recipe}.json",
    ]
    return {str(file.relative_to(root)): file.read_text() for file in files if file.exists()}
