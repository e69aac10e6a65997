"""generate: continued texts, for our models and for folders of transformers."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

from pipeline.inference.loading import text_model
from pipeline.views import causal_lm
from pipeline.views.causal_lm import continuation
from tests.conftest import ROOT

PROMPT = "the king and"


def test_generate_goes_on_with_the_prompt(built, run):
    first = run("generate", "--prompt", PROMPT, "--tokens", 20).output
    assert first.startswith(PROMPT + " ")
    assert len(first.split()) > len(PROMPT.split()) + 10  # beyond the context of 8 tokens
    assert run("generate", "--prompt", PROMPT, "--tokens", 20).output == first
    assert run("generate", "--prompt", PROMPT, "--tokens", 20, "--seed", 1).output != first
    word = first.split()[5]
    stopped = run("generate", "--prompt", PROMPT, "--tokens", 20, "--stop", word).output
    assert stopped.split() == first.split()[: first.split().index(word, 3) + 1]


def test_generate_filters_its_choices(built, run):
    greedy = run("generate", "--prompt", PROMPT, "--tokens", 9, "--temperature", 0).output
    for choice in (("--top-k", 1), ("--top-p", 0.001)):
        assert run("generate", "--prompt", PROMPT, "--tokens", 9, *choice).output == greedy


@pytest.mark.parametrize("token", ["[UNK]", "[PAD]", "[MASK]"])
def test_of_special_tokens_an_answer_shows_that_for_unknown_words(built, monkeypatch, token):
    text = text_model(causal_lm.HEAD, "gpt", None)
    special = torch.tensor(text.tokenizer.token_to_id(token))
    text.model.head.register_forward_hook(
        lambda head, hidden, logits: logits.index_fill(-1, special, 1e4)
    )
    monkeypatch.setattr("pipeline.views.causal_lm.text_model", lambda head, name, source: text)
    words = "".join(continuation(PROMPT, "gpt", None, 3, {}, 0, ())).removeprefix(PROMPT).split()
    assert words == (["[UNK]"] * 3 if token == "[UNK]" else [])


def byte_level(folder, always):
    """A GPT-2 with byte tokens that always generates the token `always`."""
    tokens = list(bytes_to_unicode().values())
    config = GPT2Config(vocab_size=256, n_embd=8, n_layer=1, n_head=2, eos_token_id=None)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        row = model.transformer.wte.weight[tokens.index(always)].fill_(1)
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(row)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def test_a_stop_token_is_named_by_its_text(run, project):
    """In a byte-level vocabulary, the line break has another name."""
    byte_level(project / "gpt2", "Ċ")
    command = ("generate", "--prompt", "ab", "--tokens", 5, "--from", "gpt2")
    assert run(*command).output == "ab" + 5 * "\n" + "\n"
    assert run(*command, "--stop", "\n").output == "ab" + "\n" + "\n"
    assert "--stop '' is not one token" in run(*command, "--stop", "", code=1).output


def test_a_character_that_is_not_completed_is_shown(run, project):
    byte_level(project / "gpt2", "Ã")  # the first of two bytes
    command = ("generate", "--prompt", "ab", "--tokens", 2, "--from", "gpt2")
    assert run(*command).output == "ab\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\n"


def test_a_text_ends_where_its_generation_config_says(built, run, project):
    run("export", "--model", "gpt", "gpt2")
    command = ("generate", "--prompt", PROMPT, "--from", "gpt2", "--tokens", 5, "--temperature", 0)
    whole = run(*command).output
    tokenizer = Tokenizer.from_file("gpt2/tokenizer.json")
    first = tokenizer.encode(whole).ids[len(tokenizer.encode(PROMPT).ids)]
    path = Path("gpt2/generation_config.json")
    path.write_text(json.dumps({"eos_token_id": [first]}))
    assert len(run(*command).output) < len(whole)
    path.write_text(json.dumps({"eos_token_id": "the"}))
    output = run(*command, code=1).output
    assert "generation_config.json: eos_token_id: 'the': expected one token id" in output


def test_a_tokenizer_of_more_tokens_than_the_model_has_is_reported(built, run, project):
    run("export", "--model", "gpt", "gpt2")
    path = Path("gpt2/tokenizer.json")
    content = json.loads(path.read_text())
    content["model"]["vocab"]["zebra"] = 99
    path.write_text(json.dumps(content))
    count = json.loads(Path("gpt2/config.json").read_text())["vocab_size"]
    output = run("generate", "--prompt", "the zebra", "--from", "gpt2", code=1).output
    assert output == f"error: 'zebra' is token 99, but the model has {count} tokens\n"
    assert run("generate", "--prompt", PROMPT, "--from", "gpt2").output.startswith(PROMPT)


def test_a_text_that_the_tokenizer_has_no_token_for_is_reported(built, run, project):
    run("export", "--model", "gpt", "gpt2")
    path = Path("gpt2/tokenizer.json")
    path.write_text(path.read_text().replace('"unk_token": "[UNK]"', '"unk_token": "<unk>"'))
    output = run("generate", "--prompt", "a zebra", "--from", "gpt2", code=1).output
    assert output.startswith("error: the text cannot be encoded: WordLevel error: Missing")


@pytest.mark.parametrize(
    ("option", "message", "code"),
    [
        (("--top-p", "nan"), "error: top_p must be above 0 and at most 1, not nan\n", 1),
        (("--temperature", "nan"), "error: temperature must be 0 or at least 1e-06, not nan\n", 1),
        (("--temperature", "1e-9"), "error: temperature must be 0 or at least 1e-06, not 1e-09", 1),
        (("--seed", 10**20), "Invalid value for '--seed'", 2),
    ],
)
def test_options_outside_of_their_range_are_refused(run, option, message, code):
    shutil.copy(ROOT / "params.yaml", ".")
    assert message in run("generate", "--prompt", PROMPT, *option, code=code).output
