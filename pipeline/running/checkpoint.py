"""Checkpoints: interrupted training continues where it stopped.

git and DVC ignore checkpoints. The folder's name is a hash of all that the result depends on
(parameters, data, code, versions), so that training with other parameters never resumes from it.
A checkpoint is written to a temporary file and renamed, so that a crash keeps the previous one.

A finished training keeps its checkpoint until `evaluate` runs, when DVC has recorded the stage in
dvc.lock: if it is killed before that, the stage writes its outputs again without training.
"""

import hashlib
import io
import json
import os
import shutil
import time
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from pipeline import deciding
from pipeline.errors import UserError, first_line
from pipeline.params import Params
from pipeline.paths import SWEEP_PROCESS, read_json, root, write_json
from pipeline.running.lifetime import GRACE

STATE = "state.pt"
TRAINING = "training.json"
KEPT = 10  # number of checkpoints of unused trainings; older ones are removed
PATIENCE = GRACE + 2  # seconds to wait for a trainer that is stopping because its `dvc` was killed


def identity(params: Params, name: str, seed: int, fingerprint: str) -> str:
    """A hash of all inputs of one training of the model `name`, as 16 hex digits.

    fingerprint: of the data.
    """
    depends = deciding.parameters(params, name, seed) | {
        "data": fingerprint,
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    for file in deciding.files():
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


class Checkpoint:
    """The checkpoint of one training; a context manager that locks out other processes.

    training_id: identifies the training across interruptions; set on entry.

    In a sweep, it waits on entry until another process with the same training has ended, whose
    last checkpoint it then finds.

    Raises:
        UserError: on entry, if another process is running the same training.
    """

    def __init__(self, name: str, key: str):
        self.folder = _folder() / f"{name}-{key}"
        self.training_id = ""
        self._lock = _lock(self.folder)

    def __enter__(self) -> "Checkpoint":
        try:
            self._lock.acquire(PATIENCE)
        except Timeout:
            training = _read(self.folder)
            same = (
                f"process {training.get('pid', '?')} is training the same model (since "
                f"{training.get('since', '?')}, in {self.folder})"
            )
            if SWEEP_PROCESS not in os.environ:
                raise UserError(f"{same}; wait for it to end, or stop it, then run again") from None
            print(f"{same}: waiting for it", flush=True)
            self._lock.acquire()
        self.training_id = _read(self.folder).get("id") or uuid.uuid4().hex
        training = {
            "id": self.training_id,
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        write_json(training, self.folder / TRAINING)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None. Loads only tensors and plain data.

        Raises:
            UserError: the file has something else, such as code, or is damaged.
        """
        file = self.folder / STATE
        if not file.exists():
            return None
        try:
            # torch does not verify checksums and would load damaged weights.
            with zipfile.ZipFile(file) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} is damaged")
            return torch.load(file, map_location="cpu", weights_only=True)
        # torch raises many kinds of errors for unexpected bytes.
        except Exception as error:
            raise UserError(
                f"{file}: not a checkpoint of this program: {first_line(error)}\n"
                "Remove the file to train from the beginning."
            ) from None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by `state` atomically.

        Raises:
            UserError: it cannot be written, as on a full disk; the previous checkpoint remains.
        """
        temporary = self.folder / (STATE + ".tmp")
        content = io.BytesIO()  # torch would hide the OSError of a full disk
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
                "The same command continues from the previous checkpoint, if there is one."
            ) from None
        os.replace(temporary, self.folder / STATE)

    def remove(self) -> None:
        """Remove the checkpoint, unless another process is using it."""
        with suppress(Timeout), self._lock.acquire(0):
            _remove(self.folder)


def prune() -> list[str]:
    """Remove unused checkpoints, except the KEPT latest.

    Returns the `training_id` of each interrupted training that no process is running.
    """
    abandoned = []
    folders = [path for path in _folder().glob("*-*") if path.is_dir()]
    for folder in sorted(folders, key=_age):
        with suppress(Timeout), _lock(folder).acquire(0):  # otherwise it is in use
            abandoned.append(_read(folder).get("id", ""))
            if len(abandoned) > KEPT:
                _remove(folder)
    return [training_id for training_id in abandoned if training_id]


def _folder() -> Path:
    return root() / ".checkpoints"


def _age(folder: Path) -> float:
    try:
        return -max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # removed in the meantime
        return float("inf")


def _lock(folder: Path) -> FileLock:
    """The lock of a checkpoint: a file beside its folder."""
    folder.parent.mkdir(exist_ok=True)
    return FileLock(folder.with_suffix(".lock"))


def _remove(folder: Path) -> None:
    """Remove a checkpoint, whose lock this process has. A process that waits for the removed lock
    notices that, and makes a new one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink()


def _read(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / TRAINING)
    except (OSError, ValueError):
        return {}
