"""Keys of config.json: we ignore exactly those that transformers' modelling code does not use."""

import inspect
import json
import re
from importlib import import_module

import pytest
import torch
import transformers
from transformers import AutoConfig, GenerationConfig

from tests.transformer.weights.famous_configs import CONFIGS
from tests.transformer.weights.huggingface_cases import CASES
from transformer.weights import from_huggingface
from transformer.weights.huggingface import FAMILIES
from transformer.weights.huggingface import config as configs
from transformer.weights.huggingface.keys import GENERATION, WITHOUT_EFFECT, has_no_effect

# Ignored keys that modelling code reads, and for what.
READ = {
    "chunk_size_feed_forward": "memory",
    "initializer_range": "initial weights",
    "classifier_dropout": "another head",
    "encoder_stride": "another head",
    "num_labels": "the classifier's size, which the weights have too",
    "problem_type": "the loss",
    "reorder_and_upcast_attn": "float16",
    "output_attentions": "what is returned besides",
    "output_hidden_states": "what is returned besides",
    "return_dict": "how it is returned",
    "use_cache": "speed",
} | {key: "another head" for key in WITHOUT_EFFECT if key.startswith("summary_")}
# Other names of a family for the same key.
ALIASES = {"gpt2": transformers.GPT2Config.attribute_map}
# Read only by classes with other heads.
OF_OTHER_HEADS = {"hidden_dropout", "summary_last_dropout"}


def source(kind: str) -> str:
    name = kind.replace("-", "_")
    return inspect.getsource(import_module(f"transformers.models.{name}.modeling_{name}"))


def keys_read(kind: str) -> set[str]:
    """Keys that the modelling code of a family reads, in any class."""
    plain = re.findall(r"config\.([a-z]\w*)\b(?!\()", source(kind))
    asked = re.findall(r"getattr\((?:self\.)?config, \"(\w+)\"", source(kind))
    return {*plain, *asked}


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_has_no_effect_is_not_read(kind):
    assert keys_read(kind) & WITHOUT_EFFECT <= READ.keys()


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_is_read_is_known(kind, monkeypatch):
    """Each key is either used or checked against the one supported value."""
    taken = set(configs.EXPECTED)
    take = configs.Config.take

    def remember(self, key, *default):
        taken.add(key)
        return take(self, key, *default)

    monkeypatch.setattr(configs.Config, "take", remember)
    for case in CASES:
        theirs = case.make()
        if theirs.config.model_type == kind:
            from_huggingface(theirs)
    names = ALIASES.get(kind, {})
    unknown = {key for key in keys_read(kind) if names.get(key, key) not in taken | WITHOUT_EFFECT}
    assert unknown <= OF_OTHER_HEADS


def test_every_key_of_a_generation_config_is_known():
    keys = GenerationConfig().__dict__.keys()
    assert {key for key in keys if not has_no_effect(key)} == {"pad_token_id"}
    assert set(GENERATION) - keys == {"forced_decoder_ids"}  # of older versions


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_a_well_known_checkpoint_is_taken_with_all_of_its_keys(name, tmp_path):
    torch.manual_seed(0)
    written = CONFIGS[name]
    config = AutoConfig.for_model(**written)
    theirs = getattr(transformers, written["architectures"][0])(config).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(written))
    ours = from_huggingface(tmp_path)
    images = written["model_type"] == "vit"
    x = torch.randn(1, 3, 224, 224) if images else torch.randint(53, (2, 9))
    torch.testing.assert_close(ours(x), theirs(x).logits)


@pytest.mark.parametrize("key", ["sliding_window", "quantization_config", "auto_map", "n_specials"])
def test_a_key_of_no_known_kind_is_refused_by_name(key, tmp_path):
    written = CONFIGS["gpt2"] | {key: {"bits": 4}}
    theirs = transformers.GPT2LMHeadModel(AutoConfig.for_model(**CONFIGS["gpt2"]))
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(ValueError, match=f"unknown keys, which might change the model: {key}$"):
        from_huggingface(tmp_path)
