"""How long the trainings on this machine took, for what is expected of others.

A training is known by its recipe: its identity without the data, which may not be prepared yet.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.paths import data_dir, read_json, root, write_json
from pipeline.running.checkpoint import identity
from pipeline.running.outlook import work


def recipe(params: Params, name: str, seed: int) -> str:
    """A hash of the code and the parameters of one training of the model `name`."""
    return identity(params, name, seed, fingerprint="")


def remember(params: Params, name: str, seed: int, seconds: float) -> None:
    """Record that a training on the prepared data of the model `name` took so many seconds."""
    meta = read_json(data_dir(name) / "meta.json")
    content = {
        "model": name,
        "finished": time.time(),
        "seconds": seconds,
        "work": work(params, name, meta),
        "data": meta,
    }
    write_json(content, _folder() / f"{recipe(params, name, seed)}.json")


def known() -> dict[str, dict[str, Any]]:
    """What was recorded, by recipe, the oldest first."""
    found = {file.stem: read_json(file) for file in _folder().glob("*.json")}
    return dict(sorted(found.items(), key=lambda item: item[1]["finished"]))


def forget(recipes: Iterable[str]) -> None:
    """Remove what was recorded of trainings whose results are lost."""
    for each in recipes:
        (_folder() / f"{each}.json").unlink(missing_ok=True)


def expected(params: Params, name: str, known: dict[str, dict[str, Any]]) -> float | None:
    """Seconds of a training of the model `name`: those of the last one, times the ratio of their
    work on its data; None if there was none."""
    same = [each for each in known.values() if each["model"] == name]
    if not same:
        return None
    last = same[-1]
    return last["seconds"] * work(params, name, last["data"]) / last["work"]


def _folder() -> Path:
    return root() / ".records" / "recipes"
