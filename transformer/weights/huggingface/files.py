"""Reads config.json and tensors of a model of transformers, from a folder or from an object."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from transformer.weights.components import path
from transformer.weights.huggingface.objects import unchanged

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder.

    Raises:
        ValueError: the file is missing, or not a JSON object.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: expected a folder with {CONFIG} and {WEIGHTS}; to download a "
            "model from the Hub: hf download NAME --local-dir FOLDER"
        )
    return _object(path)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors, from one file or from the files in an index.

    Raises:
        ValueError: a file is missing or damaged, or two files have the same tensor.
        ModuleNotFoundError: safetensors is not installed.
    """
    with needs("safetensors[torch]"):
        from safetensors import SafetensorError, safe_open
    tensors: dict[str, Tensor] = {}
    for file in _files(folder):
        if not file.is_file():
            raise ValueError(f"{file} is missing: only weights in safetensors are supported")
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    if name in tensors:
                        raise ValueError(f"{file}: {name} is also in another file")
                    tensors[name] = opened.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(f"{file}: not readable as safetensors: {error}") from None
    return tensors


def write_tensors(tensors: dict[str, Tensor], folder: Path) -> None:
    """Write all tensors to one file.

    Raises:
        ModuleNotFoundError: safetensors is not installed.
    """
    with needs("safetensors[torch]"):
        from safetensors.torch import save_file
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


@contextmanager
def needs(package: str) -> Iterator[None]:
    """Import `package`: the library imports torch alone, and only these files need more.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = package.partition("[")[0]
        message = f"files of Hugging Face models need {name}: pip install '{package}'"
        raise ModuleNotFoundError(message) from error


@contextmanager
def folder_of(source: Path | str | Any) -> Iterator[Path]:
    """The folder `source`; for a model of transformers, a temporary folder that its
    `save_pretrained` writes, because tensors of some models have other names in memory.

    Raises:
        ValueError: it is neither, or a model that was changed after it was made.
    """
    if isinstance(source, Path | str):
        yield Path(source)
    elif isinstance(source, nn.Module) and path(source).startswith("transformers.models."):
        unchanged(source)
        with TemporaryDirectory() as folder:
            model: Any = source
            model.save_pretrained(folder)
            yield Path(folder)
    else:
        kind = path(source) if isinstance(source, nn.Module) else type(source).__name__
        raise ValueError(f"expected a folder or a model of transformers, not {kind}")


def _files(folder: Path) -> list[Path]:
    """The files with the tensors."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [folder / WEIGHTS]
    names = _object(index).get("weight_map")
    names = list(names.values()) if isinstance(names, dict) else []
    if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise ValueError(f"{index}: weight_map: expected names of tensors with their files")
    return [folder / name for name in sorted(set(names))]


def _object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return values
