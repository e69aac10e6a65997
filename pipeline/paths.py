"""Paths of all outputs, relative to the project's root, and how files are written.

DVC runs the stages in the root.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

PARAMS = Path("params.yaml")
REPORTS = Path("reports")  # in git; a folder for each model has means over its seeds
# Outputs of `train` and `evaluate`: a folder for each model, with one for each seed.
MODELS, PREDICTIONS = Path("models"), Path("predictions")
WEIGHTS, CONFIG = "model.safetensors", "config.json"  # in the folder of a trained model
# What a sweep tells its stages: the project's root, its own process, and that the trainings are the
# work of a cluster; and what they tell it.
SWEEP_ROOT, SWEEP_PROCESS, SWEEP_CLUSTER = "SWEEP_ROOT", "SWEEP_PROCESS", "SWEEP_CLUSTER"
PROGRESS = Path(".dvc") / "tmp" / "progress.json"


def root() -> Path:
    """The project's root, also for experiments that DVC or a sweep runs in a temporary copy.

    In the copies of a sweep, DVC sets DVC_ROOT to the copy.
    """
    return Path(os.environ.get(SWEEP_ROOT) or os.environ.get("DVC_ROOT", "."))


def data_dir(name: str) -> Path:
    """Output of `prepare` for the model `name`: tensors, tokenizer, meta.json."""
    return Path("data") / name


def model_dir(name: str, seed: int) -> Path:
    """A trained model: model.safetensors, config.json, summary.json, and its learning curves."""
    return MODELS / name / f"seed-{seed}"


def prediction_dir(name: str, seed: int) -> Path:
    """Metrics and samples of a trained model: metrics.json, samples.json, measures.json,
    headline.json, data.json; predictions.csv of a classifier."""
    return PREDICTIONS / name / f"seed-{seed}"


def require(path: Path, command: str) -> Path:
    """`path`, an output of `command`.

    Raises:
        UserError: it is missing.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: run `{command}` first")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write, which then replaces `path` at once.

    This never writes into an existing file, which may be a link into DVC's cache.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write JSON; equal contents give equal bytes."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    with replacing(path) as fresh:
        fresh.write_text(text + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text("utf-8"))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
