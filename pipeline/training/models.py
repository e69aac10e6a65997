"""Saves and loads a trained model: weights as safetensors, its configuration as JSON."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_model, save_model
from torch import Generator

import transformer
from pipeline.paths import CONFIG, WEIGHTS, replacing, write_json
from transformer import Architecture, Transformer

# The functions that build a model, by name.
KINDS = {
    function.__name__: function
    for function in (
        transformer.bert,
        transformer.gpt,
        transformer.vit,
        transformer.encoder_decoder,
    )
}
ABOUT = ("task", "data")  # keys of a config that do not build the model


def build(config: dict[str, Any], generator: Generator | None = None) -> Transformer:
    """The Transformer that `config` describes.

    config: {"kind": one of KINDS, "architecture": {...}, and the other arguments of that function
        of `transformer`}; also "task", and in "data" the fingerprints of the training data.
    """
    arguments = {key: value for key, value in config.items() if key not in ABOUT}
    function = KINDS[arguments.pop("kind")]
    architecture = Architecture(**arguments.pop("architecture"))
    return function(architecture, **arguments, generator=generator)


def save(model: Transformer, config: dict[str, Any], folder: Path) -> None:
    """Write weights and config; equal models give equal bytes."""
    with replacing(folder / WEIGHTS) as fresh:
        save_model(model, str(fresh))
    write_json(config, folder / CONFIG)
    # safetensors writes files that only their owner can read.
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)


def load(folder: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model in evaluation mode, and its config."""
    config = json.loads((folder / CONFIG).read_text())
    model = build(config)
    load_model(model, str(folder / WEIGHTS))
    return model.eval(), config
