"""Hugging Face folders in the commands: read as by the library, and mistakes are user errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import transformer
from pipeline.inference.loading import ImageModel
from pipeline.views.image_classification import prepared
from transformer import Architecture
from transformer.weights.huggingface.preparation import Preparation


@pytest.mark.parametrize(
    ("model", "file", "command"),
    [
        ("gpt", "tokenizer_config.json", ["generate", "--prompt", "the"]),
        ("bert", "tokenizer_config.json", ["fill-mask", "the [MASK]"]),
        ("vit", "preprocessor_config.json", ["classify", "images/class0/0.png"]),
        ("gpt", "generation_config.json", ["generate", "--prompt", "the"]),
        ("gpt", "config.json", ["generate", "--prompt", "the"]),
    ],
)
def test_a_key_that_is_not_supported_is_named_in_one_line(built, run, model, file, command):
    run("export", "--model", model, "theirs")
    path = Path("theirs") / file
    values = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(values | {"colour": "red"}))
    output = run(*command, "--from", "theirs", code=1).output
    assert output.startswith("error: theirs") and output.count("\n") == 1
    assert f"{file}: unknown keys" in output and output.endswith(": colour\n")


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_prepared_as_by_the_library(tmp_path, channels):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (19, 30, 3), dtype=np.uint8))
    image.save(tmp_path / "image.png")
    preparation = Preparation((8, 8), 3, 1 / 255, [0.4] * channels, [0.3] * channels)
    model = transformer.vit(Architecture(1, 2, 8, 8), 8, 4, channels, 2)
    ours = prepared(tmp_path / "image.png", ImageModel(model, [], preparation))
    assert torch.equal(ours, preparation(image))
