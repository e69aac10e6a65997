"""Where each stage writes, relative to the project's root, where DVC runs the stages; and how."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

PARAMS = Path("params.yaml")
REPORTS = Path("reports")
WEIGHTS, CONFIG = "model.safetensors", "config.json"  # of a trained model, in its folder


def root() -> Path:
    """The project's root; the main one also for experiments that DVC runs in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT", "."))


def data_dir(name: str) -> Path:
    """What `prepare` makes for the model `name`: tensors, tokenizer, meta.json."""
    return Path("data") / name


def models_dir(name: str) -> Path:
    """What `train` makes: a folder for each seed."""
    return Path("models") / name


def model_dir(name: str, seed: int) -> Path:
    """A trained model: model.safetensors, config.json, summary.json, and its curves."""
    return models_dir(name) / f"seed-{seed}"


def predictions_dir(name: str) -> Path:
    """What `evaluate` makes: a folder for each seed, and predictions.csv of a classifier."""
    return Path("predictions") / name


def prediction_dir(name: str, seed: int) -> Path:
    """What a trained model scores and says: figures.json, samples.json."""
    return predictions_dir(name) / f"seed-{seed}"


def results_dir(name: str) -> Path:
    """What git keeps of a model: its curves and the metrics that people compare by, as means
    over the seeds."""
    return REPORTS / name


def require(path: Path, command: str) -> Path:
    """`path`, which `command` makes.

    Raises:
        UserError: it is not there yet.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: run `{command}` first")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` once it is whole.

    What is there already is not written into: it may be a link to a file of DVC's cache.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write JSON whose bytes depend on the content alone."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    with replacing(path) as fresh:
        fresh.write_text(text + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text("utf-8"))
