"""Interrupted training goes on where it stopped.

A checkpoint lives outside of what git and DVC see, in a folder named by a hash of all that the
result depends on (parameters, data, code, versions): other parameters never resume it. It is
written to a temporary name and renamed, so that a crash leaves the previous one whole, and is
removed when training has succeeded.
"""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

import transformer
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.paths import root

FILE = "state.pt"
# What the trained weights depend on, besides parameters and data: see the deps of `train`.
CODE = (
    Path(transformer.__file__).parent,
    Path(__file__).parent,
    Path(__file__).parent.parent / "objectives",
)


def identity(params: Params, name: str, fingerprint: str) -> str:
    """A hash of all that the training of the model `name` depends on, as 16 hex digits.

    fingerprint: of the data.
    """
    section = params.section(name)
    depends = {
        "seed": params.seed,
        "threads": params.threads,
        "device": params.device,
        "architecture": params.architecture(name).model_dump(),
        "section": section.model_dump(),
        "data": fingerprint,
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    for folder in CODE:
        for file in sorted(folder.glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


class Checkpoint:
    """The one checkpoint of one training; a context manager that keeps other trainers out.

    Raises:
        UserError: on entry, when another process trains the same thing right now.
    """

    def __init__(self, name: str, key: str):
        self.folder = root() / ".checkpoints" / f"{name}-{key}"
        self._lock = FileLock(self.folder.with_suffix(".lock"))

    def __enter__(self) -> "Checkpoint":
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"another process is training this very model (it holds {self._lock.lock_file}); "
                "wait for it to end, or stop it, then run again"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None if there is none. Only tensors and plain data are read.

        Raises:
            UserError: the file holds something else, code for example, or is damaged.
        """
        file = self.folder / FILE
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
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"{file}: not a checkpoint of this program: {reason}\n"
                "Remove the file to train from the beginning."
            ) from None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by `state`, whole or not at all."""
        temporary = self.folder / (FILE + ".tmp")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / FILE)

    def remove(self) -> None:
        """Training has succeeded: the checkpoint is of no more use."""
        shutil.rmtree(self.folder)
