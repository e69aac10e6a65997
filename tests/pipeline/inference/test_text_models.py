"""Texts that text models read: unknown words, special tokens, lengths, mistakes."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from pipeline.inference.loading import text_model
from pipeline.views import causal_lm, masked_lm
from tests.conftest import ROOT
from tests.pipeline.conftest import build_models

PROMPT = "the king and"


def test_unknown_words_are_reported_and_do_not_stick_to_the_next_one(built, run):
    first = run("generate", "--prompt", "zorblax quux", "--tokens", 5)
    assert first.stdout.startswith("zorblax quux ")
    words = first.stdout.removeprefix("zorblax quux ").split()
    vocabulary = Tokenizer.from_file("data/gpt/tokenizer.json").get_vocab()
    assert set(words) <= set(vocabulary)
    assert first.stderr == "note: words that are not in the vocabulary: 'zorblax', 'quux'\n"
    result = run("fill-mask", "the quux [MASK] Zorblax quux")
    assert result.stderr == "note: words that are not in the vocabulary: 'quux', 'Zorblax'\n"
    assert run("generate", "--prompt", PROMPT).stderr == ""


def test_special_tokens_but_the_mask_of_bert_are_text(built, run):
    """GPT is not trained with [MASK]."""
    stderr = run("generate", "--prompt", "the [MASK] king", "--tokens", 1).stderr
    assert stderr == "note: words that are not in the vocabulary: '[', 'MASK', ']'\n"
    stderr = run("fill-mask", "the [MASK] [UNK]").stderr
    assert stderr == "note: words that are not in the vocabulary: '[', 'UNK', ']'\n"


def test_a_given_model_takes_special_tokens_as_transformers_does(built, run, project):
    run("export", "--model", "bert", project / "bert")
    result = run("fill-mask", "the zebra [UNK] [MASK]", "--from", "bert")
    assert result.stderr == "note: words that are not in the vocabulary: 'zebra'\n"
    theirs = AutoTokenizer.from_pretrained(project / "bert")
    text = text_model(masked_lm.HEAD, "bert", project / "bert")
    assert text.encode("the zebra [UNK] [MASK]").ids == theirs("the zebra [UNK] [MASK]").input_ids


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_prompt_may_have_either_unicode_form(small, run, project, form):
    """Also for exported models in transformers."""
    written = (project / "text.txt").read_text().replace("king", "señor").replace("sea", "café")
    (project / "text.txt").write_text(written)
    build_models(small)
    run("export", "--model", "gpt", project / "gpt")
    text = unicodedata.normalize(form, "the señor saw a café")
    expected = ["the", "señor", "saw", "a", "café"]
    tokenizer = Tokenizer.from_file("data/gpt/tokenizer.json")
    expected = [tokenizer.token_to_id(word) or 1 for word in expected]
    for source in (None, project / "gpt"):
        assert text_model(causal_lm.HEAD, "gpt", source).encode(text).ids == expected
    assert AutoTokenizer.from_pretrained(project / "gpt")(text).input_ids == expected
    stopped = run("generate", "--prompt", "the", "--stop", unicodedata.normalize(form, "señor"))
    assert stopped.stdout.startswith("the ")


def test_the_context_is_that_of_the_model(built, run, project):
    """Also if config.json omits it, because it is the default of transformers."""
    run("export", "--model", "gpt", "gpt2")
    llama = LlamaConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=2048)  # fmt: skip
    LlamaForCausalLM(llama).save_pretrained("llama")
    shutil.copy("gpt2/tokenizer.json", "llama")
    gpt2 = GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=2, n_positions=1024)
    GPT2LMHeadModel(gpt2).save_pretrained("gpt2")
    for name, key, length in (
        ("gpt2", "n_positions", 1024),
        ("llama", "max_position_embeddings", 2048),
    ):
        path = Path(name, "config.json")
        config = json.loads(path.read_text())
        del config[key]
        path.write_text(json.dumps(config))
        assert text_model(causal_lm.HEAD, "gpt", project / name).context == length
        assert run("generate", "--prompt", PROMPT, "--tokens", 3, "--from", name).output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["generate", "--prompt", ""], "the prompt is empty"),
        (["generate", "--prompt", "a", "--stop", "two words"], "--stop 'two words' is not one"),
        (["fill-mask", "nothing to guess"], "no [MASK] in 'nothing to guess'"),
        (["fill-mask", "[MASK] " * 9], "9 tokens, but the model takes at most 8"),
        (["fill-mask", "[MASK]", "--from", "nowhere"], "config.json is missing: expected a folder"),
        (["fill-mask", "[MASK]", "--from", "models/bert/seed-0"], "leave out --from"),
        (["fill-mask", "[MASK]", "--from", "gpt2"], "needs a masked language model"),
        (["generate", "--prompt", "a", "--from", "features"], "needs a causal language model"),
        (["generate", "--prompt", "a", "--from", "bare"], "no tokenizer: expected tokenizer.json"),
    ],
)
def test_a_mistake_is_reported_in_a_line(built, run, project, command, message):
    run("export", "--model", "gpt", project / "gpt2")
    run("export", "--model", "gpt", project / "bare")
    (project / "bare" / "tokenizer.json").unlink()
    config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=12)  # fmt: skip
    BertModel(config).save_pretrained(project / "features")
    result = run(*command, code=1)
    assert result.output.startswith("error: ") and message in result.output
    assert result.output.count("\n") == 1


def test_before_training_the_command_to_run_is_named(run):
    shutil.copy(ROOT / "params.yaml", ".")
    for command in (["generate", "--prompt", "a"], ["export", "--model", "gpt", "out"]):
        assert (
            "models/gpt/seed-0 is missing: run `dvc repro train@gpt-0`"
            in run(*command, code=1).output
        )
    assert "run `dvc repro train@bert-0` first" in run("fill-mask", "[MASK]", code=1).output
