"""Saves and loads a trained model: weights as safetensors, its configuration as JSON."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_model, save_model

from pipeline.paths import CONFIG, WEIGHTS, replacing, write_json
from transformer import Transformer
from transformer.saving import build

ABOUT = ("task", "data")  # keys of a config that do not build the model


def save(model: Transformer, about: dict[str, Any], folder: Path) -> None:
    """Write weights and config; equal models give equal bytes.

    about: keys of the config besides those of the model: "task", and in "data" the fingerprints of
        the training data.
    """
    assert model.config is not None
    with replacing(folder / WEIGHTS) as fresh:
        save_model(model, str(fresh))
    write_json(model.config | about, folder / CONFIG)
    # safetensors writes files that only their owner can read.
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)


def load(folder: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model in evaluation mode, and its config."""
    config = json.loads((folder / CONFIG).read_text())
    model = build({key: value for key, value in config.items() if key not in ABOUT})
    load_model(model, str(folder / WEIGHTS))
    return model.eval(), config
