"""Where each stage writes, relative to the project's root, where DVC runs the stages; and how."""

import json
from pathlib import Path
from typing import Any

PARAMS = Path("params.yaml")
REPORTS = Path("reports")


def data_dir(name: str) -> Path:
    """What `prepare` makes for the model `name`: tensors, tokenizer, meta.json."""
    return Path("data") / name


def model_dir(name: str) -> Path:
    """What `train` makes: model.safetensors and config.json."""
    return Path("models") / name


def results_dir(name: str) -> Path:
    """The figures of a model that git keeps: curves, training and evaluation metrics, samples."""
    return REPORTS / name


def write_json(content: Any, path: Path) -> None:
    """Write JSON whose bytes depend on the content alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
