"""Interrupted training goes on where it stopped.

A checkpoint lives outside of what git and DVC see, in a folder named by a hash of all that the
result depends on (parameters, data, code, versions): other parameters never resume it. It is
written to a temporary name and renamed, so that a crash leaves the previous one whole.

A training that has ended keeps its last state until `evaluate` runs, which is after DVC has taken
the stage down in dvc.lock: killed in between, the stage writes its outputs again and trains
nothing.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import torch

import transformer
from pipeline import models
from pipeline.errors import UserError, first_line
from pipeline.lifetime import GRACE
from pipeline.params import Params
from pipeline.paths import root

STATE = "state.pt"
TRAINING = "training.json"
KEPT = 10  # checkpoints of trainings that nobody goes on with; older ones are removed
PATIENCE = GRACE + 2  # seconds for a trainer whose `dvc` was killed to end
# What the trained weights depend on, besides parameters and data: see the deps of `train`.
CODE = (
    Path(transformer.__file__).parent,
    Path(models.__file__),
    Path(__file__).parent,
    Path(__file__).parent.parent / "objectives",
)


def identity(params: Params, name: str, seed: int, fingerprint: str) -> str:
    """A hash of all that one training of the model `name` depends on, as 16 hex digits.

    fingerprint: of the data.
    """
    depends = params.deciding(name, seed) | {"data": fingerprint, "torch": torch.__version__}
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    for path in CODE:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


class Checkpoint:
    """The one checkpoint of one training; a context manager that keeps other trainers out.

    training_id: a name for the training that outlives interruptions; known once entered.

    Raises:
        UserError: on entry, when another process trains the same thing right now.
    """

    def __init__(self, name: str, key: str):
        self.folder = _folder() / f"{name}-{key}"
        self.training_id = ""
        self._lock: int | None = None

    def __enter__(self) -> "Checkpoint":
        patience = time.monotonic() + PATIENCE
        while (lock := _lock(self.folder)) is None:
            if time.monotonic() > patience:
                training = _read(self.folder)
                raise UserError(
                    f"process {training.get('pid', '?')} is training this very model (since "
                    f"{training.get('since', '?')}, for {self.folder}); wait for it to end, or "
                    "stop it, then run again"
                )
            time.sleep(0.1)
        self._lock = lock
        self.training_id = _read(self.folder).get("id") or uuid.uuid4().hex
        training = {
            "id": self.training_id,
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        _replace(self.folder / TRAINING, json.dumps(training).encode())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._lock is not None
        os.close(self._lock)

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None if there is none. Only tensors and plain data are read.

        Raises:
            UserError: the file holds something else, code for example, or is damaged.
        """
        file = self.folder / STATE
        if not file.exists():
            return None
        try:
            # torch itself compares no checksums: it would go on from other weights.
            with zipfile.ZipFile(file) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} is damaged")
            return torch.load(file, weights_only=True)
        # Over bytes that it does not expect, torch raises whatever they lead it to.
        except Exception as error:
            raise UserError(
                f"{file}: not a checkpoint of this program: {first_line(error)}\n"
                "Remove the file to train from the beginning."
            ) from None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by `state`, whole or not at all.

        Raises:
            UserError: it cannot be written, as on a full disk; the previous checkpoint is whole.
        """
        temporary = self.folder / (STATE + ".tmp")
        content = io.BytesIO()  # so that a full disk is an OSError, which torch would hide
        torch.save(state, content)
        try:
            with temporary.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UserError(
                f"the checkpoint after step {state['step']} could not be written to {temporary}: "
                f"{error.strerror}; it takes {content.tell() / 1e6:,.0f} MB.\n"
                + (
                    "The checkpoint before it is whole: the same command goes on from there."
                    if (self.folder / STATE).exists()
                    else "It is the first one: the same command trains from the beginning."
                )
            ) from None
        os.replace(temporary, self.folder / STATE)

    def remove(self) -> None:
        """The checkpoint is of no more use, except to a process that trains the same again."""
        lock = _lock(self.folder, create=False)
        if lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(lock)


class NoCheckpoint:
    """For a training that is not kept."""

    def load(self) -> None:
        """There is none."""

    def save(self, state: dict[str, Any]) -> None:
        """Kept nowhere."""


def prune() -> list[str]:
    """Remove the oldest checkpoints that nobody goes on with, this process included, but for a few.

    Returns the `training_id` of every training that was interrupted and not taken up again.
    """
    abandoned = []
    folders = [path for path in _folder().glob("*-*") if path.is_dir()]
    for folder in sorted(folders, key=_age):
        lock = _lock(folder, create=False)
        if lock is None:  # somebody goes on with it
            continue
        abandoned.append(_read(folder).get("id", ""))
        if len(abandoned) > KEPT:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
    return [training_id for training_id in abandoned if training_id]


def _folder() -> Path:
    return root() / ".checkpoints"


def _age(folder: Path) -> float:
    try:
        return -max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # removed in the meantime
        return float("inf")


def _lock(folder: Path, create: bool = True) -> int | None:
    """A descriptor that holds the folder until it is closed or the process ends; None if another
    process holds it."""
    while True:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            if create:
                continue
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed it: is this still the folder of that name?
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)
        if not create:
            return None


def _read(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / TRAINING).read_text())
    except (OSError, ValueError):
        return {}


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, file)
