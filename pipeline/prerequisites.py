"""Checks what parameters need on this machine: data files, folders, a GPU and a compiler.

The stages check the same, but DVC removes the old outputs of a stage before it runs.
"""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.errors import ParamsError
from pipeline.params import Params
from pipeline.yaml_file import flatten

LOCK = Path("dvc.lock")


def check(params: Params) -> None:
    """Check values that no stage in dvc.lock was run with. With the others nothing may have to run.

    Raises:
        ParamsError: data, a GPU or a compiler is missing; the message lists all errors.
    """
    used = _used()
    values = flatten(params.content())
    new = {key for key, value in values.items() if value not in used.get(key, ())}
    errors = [f"  {key}: {said}" for key, said in _missing(params, new) if key in new]
    if errors:
        raise ParamsError("\n".join(["not on this machine:", *errors]))


def _missing(params: Params, new: set[str]) -> Iterator[tuple[str, str]]:
    """The key and the error of each value that needs something that is missing.

    new: the keys to check, for a check that takes seconds.
    """
    from pipeline.data.registry import KNOWN

    for name, section in params.sections.items():
        known, kind = KNOWN[section.encoder]
        value = getattr(section.data, section.source)
        exists = os.path.isdir if kind == "folder" else os.path.isfile
        if value not in known and not exists(value):
            yield (
                f"{name}.data.{section.source}",
                f"no {kind} {value!r}; {_hint(value, list(known))}",
            )
    if params.device == "cuda":
        from torch import cuda

        if not cuda.is_available():
            yield "device", "cuda, but torch sees no CUDA GPU; use auto or cpu"
            return
    compiled = [name for name, section in params.sections.items() if section.train.compile]
    if compiled and (
        keys := new & {"train.compile", *(f"{name}.train.compile" for name in compiled)}
    ):
        from torch import cuda, device

        from pipeline.training.compilation import missing_compiler

        kind = "cuda" if params.device != "cpu" and cuda.is_available() else "cpu"
        if missing := missing_compiler(device(kind)):
            yield from ((key, missing) for key in sorted(keys))


def _hint(value: str, known: list[str]) -> str:
    """A similar name: one of the registry, or one beside the missing file."""
    folder, name = os.path.split(value)
    beside = os.listdir(folder) if os.path.isdir(folder) else []
    for given, choice, prefix in ((value, known, ""), (name, beside, folder)):
        if near := difflib.get_close_matches(given, choice, n=1):
            return f"did you mean '{os.path.join(prefix, near[0])}'?"
    return f"known names: {', '.join(known)}"


def _used() -> dict[str, list[Any]]:
    """The values of each parameter in dvc.lock."""
    if not LOCK.exists():
        return {}
    used: dict[str, list[Any]] = {}
    for stage in yaml_file.read(LOCK).get("stages", {}).values():
        for file in stage.get("params", {}).values():
            for key, value in flatten(file).items():
                used.setdefault(key, []).append(value)
    return used
