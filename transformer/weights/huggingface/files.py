"""A model of transformers on disk, or as an object: its config.json and its tensors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from transformer.weights.components import path
from transformer.weights.huggingface.objects import unchanged

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder.

    Raises:
        ValueError: it is not there, or no JSON object.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: expected a folder with {CONFIG} and {WEIGHTS}; a model of the Hub "
            "is downloaded first: hf download NAME --local-dir FOLDER"
        )
    return _object(path)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of one file, or of the several that an index names.

    Raises:
        ValueError: a file is missing or damaged, or a tensor is in two of them.
    """
    tensors: dict[str, Tensor] = {}
    for file in _files(folder):
        if not file.is_file():
            raise ValueError(f"{file} is missing: weights are read from safetensors alone")
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    if name in tensors:
                        raise ValueError(f"{file}: {name} is in another file as well")
                    tensors[name] = opened.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(f"{file}: not readable as safetensors: {error}") from None
    return tensors


@contextmanager
def folder_of(source: Path | str | Any) -> Iterator[Path]:
    """The folder that `source` names, or one for as long as it takes, with what `save_pretrained`
    of a model of transformers writes: in memory the tensors of some have names of their own.

    Raises:
        ValueError: it is neither, or a model that was changed since it was made.
    """
    if isinstance(source, Path | str):
        yield Path(source)
    elif isinstance(source, nn.Module) and path(source).startswith("transformers.models."):
        unchanged(source)
        with TemporaryDirectory() as folder:
            source.save_pretrained(folder)
            yield Path(folder)
    else:
        kind = path(source) if isinstance(source, nn.Module) else type(source).__name__
        raise ValueError(f"expected a folder or a model of transformers, not {kind}")


def _files(folder: Path) -> list[Path]:
    """Where the tensors are."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [folder / WEIGHTS]
    names = _object(index).get("weight_map")
    names = list(names.values()) if isinstance(names, dict) else []
    if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise ValueError(f"{index}: weight_map: expected each tensor's file, by its name")
    return [folder / name for name in sorted(set(names))]


def _object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return values
