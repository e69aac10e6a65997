"""prepare: fetch and encode the data of a model, into data/<name>."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from pipeline.data.image_folders import is_litter
from pipeline.errors import UserError
from pipeline.params import Params, TextData
from pipeline.paths import data_dir, write_json
from pipeline.wording import counted, wrapped

OWN = Path("data") / "own"  # a dependency of the stage in dvc.yaml


def prepare(params: Params, name: str, folder: Path | None = None) -> None:
    """Fetch, verify, split and encode the data of the model `name`.

    folder: the output; data/<name> by default.

    Raises:
        UserError: the data cannot be used (see `data.text.encode` and `data.images.encode`), or the
            old output cannot be removed.
    """
    data = params.section(name).data
    folder = folder or data_dir(name)
    given = Path(data.text if isinstance(data, TextData) else data.images)
    if os.path.exists(given) and not _is_watched(given):
        print(wrapped(f"note: DVC does not notice when {given} changes: it watches {OWN}, without "
                      "hidden files"))  # fmt: skip
    advice = ""
    if isinstance(data, TextData):
        from pipeline.data import text, tokenization

        tensors, meta, tokenizer = text.encode(data)
        _write(folder, "tokens", tensors, meta)
        tokenization.save(tokenizer, folder / "tokenizer.json")
        amount = (
            f"{meta['train_tokens']:,} + {counted(meta['validation_tokens'], 'token')}, "
            f"{meta['vocabulary_size']:,} different ({meta['tokenizer']})"
        )
    else:
        from pipeline.data import images, suggestions

        tensors, meta = images.encode(data)
        _write(folder, "images", tensors, meta)
        advice = suggestions.advice(meta, params.section(name))
        amount = (
            f"{meta['train_images']:,} + {counted(meta['test_images'], 'image')} of "
            f"{meta['image_size']} x {meta['image_size']} pixels, {len(meta['classes'])} classes"
        )
    for text in (meta["title"], amount):
        print(wrapped(f"{name}: {text}"))
    if advice:
        print(wrapped(f"note: {given}: {advice}"))


def _is_watched(path: Path) -> bool:
    """Whether DVC notices changes of a user's own data; see dvc.yaml and .dvcignore."""
    here = Path(os.path.relpath(path))
    return here.is_relative_to(OWN) and not is_litter(here.relative_to(OWN))


def _write(folder: Path, kind: str, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write tensors and meta.json, in place of an old output.

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
    save_file(tensors, folder / f"{kind}.safetensors")
    digest = hashlib.sha256((folder / f"{kind}.safetensors").read_bytes()).hexdigest()
    write_json({**meta, "fingerprint": digest}, folder / "meta.json")
    # safetensors writes files that only their owner can read.
    shutil.copymode(folder / "meta.json", folder / f"{kind}.safetensors")
