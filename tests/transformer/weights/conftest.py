"""Fixtures: folders of transformers' models."""

import json

import pytest
from safetensors.torch import load_file, save_file


@pytest.fixture
def folder(tmp_path):
    """A function that saves a model with changes in its files."""

    def save(make, config=None, tensors=None):
        make().save_pretrained(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text()) | (config or {})
        (tmp_path / "config.json").write_text(json.dumps(values))
        if tensors:
            kept = tensors(load_file(tmp_path / "model.safetensors"))
            save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
        return tmp_path

    return save
