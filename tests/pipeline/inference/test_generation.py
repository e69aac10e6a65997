"""generation_config.json: settings are applied, or refused by name."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pipeline.errors import UserError
from pipeline.inference.generation import (
    DEFAULT_SAMPLING,
    SWITCHED_OFF,
    WITHOUT_EFFECT,
    read_generation,
)
from transformer.generation import Sampling
from transformer.weights.huggingface.keys import GENERATION

SUPPORTED = {"do_sample", "eos_token_id", "temperature", "top_k", "top_p"}
# Values of unsupported keys, from older and newer versions.
REJECTED = {
    "bad_words_ids": [[1]], "begin_suppress_tokens": [1], "constraints": [1],
    "diversity_penalty": 0.5, "dola_layers": "low", "encoder_no_repeat_ngram_size": 2,
    "encoder_repetition_penalty": 1.5, "epsilon_cutoff": 0.01, "eta_cutoff": 0.01,
    "exponential_decay_length_penalty": [5, 1.5], "force_words_ids": [[1]],
    "forced_bos_token_id": 1, "forced_decoder_ids": [[1, 2]], "forced_eos_token_id": 1,
    "guidance_scale": 1.5, "max_time": 1.0, "min_length": 5, "min_new_tokens": 5, "min_p": 0.1,
    "no_repeat_ngram_size": 3, "num_beam_groups": 2, "num_beams": 4, "num_return_sequences": 2,
    "penalty_alpha": 0.6, "repetition_penalty": 1.2, "sequence_bias": [[[1], 2.0]],
    "stop_strings": ["."], "suppress_tokens": [1], "token_healing": True, "top_h": 0.4,
    "typical_p": 0.9, "use_mtp": True, "watermarking_config": {"bias": 2.0},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A function that writes the two files; None omits one."""

    def write(generation, config=None):
        for name, values in (("generation_config", generation), ("config", config or {})):
            if values is not None:
                (tmp_path / f"{name}.json").write_text(json.dumps(values))
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("values", "sampling"),
    [
        ({}, DEFAULT_SAMPLING),
        ({"do_sample": None, "temperature": None}, DEFAULT_SAMPLING),
        ({"do_sample": False}, Sampling(temperature=0)),
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, Sampling(temperature=0)),
        ({"do_sample": True}, Sampling(1.0, 50, 1.0)),
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, Sampling(0.6, 50, 0.9)),
        ({"do_sample": True, "top_k": 0, "temperature": 2}, Sampling(2, 0, 1.0)),
        ({"temperature": 0.9, "top_p": 0.6}, Sampling(0.9, 0, 0.6)),
    ],
    ids=str,
)
def test_tokens_are_chosen_as_the_folder_says(folder, values, sampling):
    assert read_generation(folder(values)).sampling == sampling
    # Without the file, config.json has the same keys, as in older versions.
    (folder(values) / "generation_config.json").unlink()
    assert read_generation(folder(None, values)).sampling == sampling


def test_every_key_is_applied_refused_or_known_not_to_matter():
    assert REJECTED.keys() == SWITCHED_OFF.keys()
    kinds = (SUPPORTED, set(SWITCHED_OFF), set(WITHOUT_EFFECT))
    assert sum(map(len, kinds)) == len(set().union(*kinds))
    assert set(GENERATION) | GenerationConfig().__dict__.keys() == set().union(*kinds)


@pytest.mark.parametrize("key", REJECTED)
def test_what_would_change_the_text_is_refused_by_name(folder, key):
    for generation, config, file in (
        ({key: REJECTED[key]}, None, "generation_config.json"),
        (None, {key: REJECTED[key]}, "config.json"),
    ):
        written = folder(generation, config)
        with pytest.raises(UserError) as caught:
            read_generation(written)
        message = f"{written / file}: {key}: {REJECTED[key]!r}: not supported"
        assert str(caught.value).startswith(message)
        (written / file).unlink()


def test_defaults_are_those_of_transformers(folder):
    defaults = GenerationConfig._get_default_generation_params()  # noqa: SLF001  # no other way
    values = GenerationConfig().to_dict() | defaults
    assert read_generation(folder(values)).sampling == Sampling(temperature=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": "hot"}, "temperature: 'hot': expected a number"),
        ({"do_sample": True, "top_k": 1.5}, "top_k: 1.5: expected a whole number"),
        ({"do_sample": "yes"}, "do_sample: 'yes': expected true or false"),
        ({"top_p": 2.0}, "top_p must be above 0 and at most 1, not 2.0"),
        ({"eos_token_id": [-1]}, "eos_token_id: [-1]: expected one token id or a list of them"),
        ({"colour": "red"}, "unknown keys, which might change the text: colour"),
    ],
    ids=str,
)
def test_a_mistake_is_reported_in_a_line(folder, values, message):
    with pytest.raises(UserError) as caught:
        read_generation(folder(values))
    assert str(caught.value) == f"{folder(values) / 'generation_config.json'}: {message}"


def test_generate_does_as_the_folder_says_unless_it_is_reported_otherwise(built, run, project):
    run("export", "--model", "gpt", "gpt2")
    path = Path("gpt2/generation_config.json")
    command = ("generate", "--prompt", "the king and", "--tokens", 5, "--from", "gpt2")
    drawn = run(*command).output
    assert run(*command, "--temperature", 0.8).output == drawn
    path.write_text(json.dumps({"do_sample": False}))
    likeliest = run(*command).output
    assert likeliest != drawn
    tokenizer = AutoTokenizer.from_pretrained(project / "gpt2")
    model = AutoModelForCausalLM.from_pretrained(project / "gpt2")
    prompt = tokenizer("the king and", return_tensors="pt")
    with torch.no_grad():  # as in its file
        written = model.generate(**prompt, max_new_tokens=5, pad_token_id=0)[0]
    assert likeliest == tokenizer.decode(written) + "\n"
    assert run(*command, "--temperature", 0.8, "--top-k", 0).output == drawn
    path.write_text(json.dumps({"num_beams": 4}))
    output = run(*command, code=1).output
    assert output == f"error: {path}: num_beams: 4: not supported; expected 1\n"
    assert run("fill-mask", "[MASK]", "--from", "gpt2", code=1).output.count("\n") == 1
