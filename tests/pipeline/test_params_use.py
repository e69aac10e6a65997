"""The stages use every key of params.yaml."""

from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.parameters.base import ARCHITECTURE
from pipeline.params import Params, validate
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.yaml_file import flatten, merge
from tests.conftest import MODELS
from transformer import Architecture

# Values of other keys that are needed for a key to have an effect.
SAMPLED = {"objective": {"sampled_softmax": {"random": 8}}}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"model": {"positions": "rotary", "n_kv_head": 1}, "bert": SAMPLED, "gpt": SAMPLED},
]


@pytest.mark.long
def test_every_parameter_is_read_by_a_stage(small: Params):
    read = set()
    owner: dict[int, str] = {}

    def name_sections(section: BaseModel, path: str) -> None:
        owner[id(section)] = path
        for key in type(section).model_fields:
            if isinstance(getattr(section, key), BaseModel):
                name_sections(getattr(section, key), f"{path}{key}.")

    def record(patch: pytest.MonkeyPatch, kind: type, path_of) -> None:
        plain = kind.__getattribute__

        def spy(self, key: str) -> Any:
            path = path_of(self)
            if path is not None:
                read.add(path + key)
            return plain(self, key)

        patch.setattr(kind, "__getattribute__", spy)

    for variant in VARIANTS:
        content = small.content()
        params = validate(merge(content, variant))
        owner.clear()
        name_sections(params, "")
        for name, section in params.sections.items():
            name_sections(section, f"{name}.")
        with pytest.MonkeyPatch.context() as patch:
            record(patch, BaseModel, lambda self: owner.get(id(self)))
            # The model gets the shared section as an Architecture.
            record(patch, Architecture, lambda self: "model.")
            for name in MODELS:
                prepare(params, name)
                train(params, name, 0)
                evaluate(params, name, 0)

    keys = set(flatten(small.content()))
    keys -= {f"{name}.model.{key}" for name in MODELS for key in ARCHITECTURE}
    # A shared key of the recipe is read in the section of a model.
    read |= {key.partition(".")[2] for key in read if ".train." in key}
    assert keys - read == set()
