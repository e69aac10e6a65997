"""What the stage `prepare` writes."""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from pipeline.errors import UserError
from pipeline.paths import write_json


@dataclass(frozen=True)
class Prepared:
    """Prepared data.

    file: the name of the file of the tensors. meta: content of meta.json. amount: how much it is,
    for people. texts: further files by name. advice: on unsuitable parameters, or None.
    """

    file: str
    tensors: dict[str, np.ndarray]
    meta: dict[str, Any]
    amount: str
    texts: dict[str, str] = field(default_factory=dict)
    advice: str | None = None

    def write(self, folder: Path) -> None:
        """Write tensors, meta.json and the other files, in place of an old output.

        Raises:
            UserError: the old output cannot be removed.
        """
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:  # its message may have only the name of a file inside
            raise UserError(f"{folder}: cannot be removed: {error.strerror or error}") from None
        folder.mkdir(parents=True)
        tensors = folder / f"{self.file}.safetensors"
        save_file(self.tensors, tensors)
        digest = hashlib.sha256(tensors.read_bytes()).hexdigest()
        write_json({**self.meta, "fingerprint": digest}, folder / "meta.json")
        # safetensors writes files that only their owner can read.
        shutil.copymode(folder / "meta.json", tensors)
        for name, content in self.texts.items():
            (folder / name).write_text(content, encoding="utf-8")
