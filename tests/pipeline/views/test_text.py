"""generate and fill-mask: their output for our models and for folders of transformers."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    pipeline,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from pipeline.inference.loading import text_model
from pipeline.views import causal_lm, masked_lm
from pipeline.views.causal_lm import continuation
from pipeline.views.masked_lm import fillings
from tests.conftest import ROOT
from tests.pipeline.conftest import build_models

PROMPT, MASKED = "the king and", "the king and the [MASK] of the [MASK]"


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


def test_fill_mask_shows_words_with_probabilities(built, run):
    lines = run("fill-mask", MASKED, "--top", 3).output.splitlines()
    assert [line for line in lines if line.startswith("[MASK]")] == ["[MASK] 1", "[MASK] 2"]
    assert len(lines) == 2 + 2 * 3
    chances = [float(line.split("%")[0]) for line in lines[1:4]]
    assert chances == sorted(chances, reverse=True)
    vocabulary = Tokenizer.from_file("data/bert/tokenizer.json").get_vocab()
    assert all(line.split()[1] in vocabulary for line in lines[1:4])


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


def test_exported_models_run_in_transformers_and_come_back(built, run, project):
    for name, wanted in (("bert", "BertForMaskedLM"), ("gpt", "GPT2LMHeadModel")):
        assert wanted in run("export", "--model", name, project / name).output
    # transformers: the words and their probabilities.
    theirs = pipeline("fill-mask", model=str(project / "bert"), top_k=4)(MASKED)
    for found in (fillings(MASKED, "bert", None, 4), fillings(MASKED, "bert", project / "bert", 4)):
        assert found[0] == "[MASK]"
        for guesses, expected in zip(found[1], theirs, strict=True):
            assert [g.word for g in guesses] == [each["token_str"] for each in expected]
            scores = [each["score"] for each in expected]
            assert [g.probability for g in guesses] == pytest.approx(scores, rel=1e-4)
    # transformers: the same text, up to the context.
    tokenizer = AutoTokenizer.from_pretrained(project / "gpt")
    model = AutoModelForCausalLM.from_pretrained(project / "gpt")
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)[0]
    for source in (None, project / "gpt"):
        pieces = continuation(PROMPT, "gpt", source, 5, {"temperature": 0}, 0, ())
        assert "".join(pieces) == tokenizer.decode(written)


def test_a_prompt_of_theirs_is_framed_by_their_special_tokens(built, run, project):
    """As in published BERTs: vocab.txt, [CLS] and [SEP]."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "to", "be", ",", "or", "not"]
    config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=12)  # fmt: skip
    model = BertForMaskedLM(config).eval()
    model.save_pretrained(project / "theirs")
    (project / "theirs" / "vocab.txt").write_text("\n".join(words) + "\n")
    ids = torch.tensor([[2, 5, 6, 7, 8, 9, 5, 4, 3]])
    with torch.no_grad():
        expected = model(ids).logits[0, 7].softmax(-1).max().item()
    _, ((best,),) = fillings("To be, or not to [MASK]", "bert", project / "theirs", 1)
    assert best.probability == pytest.approx(expected, rel=1e-4)


def test_fill_mask_takes_the_mask_token_of_the_folder(built, run, project):
    run("export", "--model", "bert", "bert")
    whole = Path("bert/tokenizer.json")
    whole.write_text(whole.read_text().replace("[MASK]", "<mask>"))
    settings = Path("bert/tokenizer_config.json")
    settings.write_text(settings.read_text().replace("[MASK]", "<mask>"))
    masked = MASKED.replace("[MASK]", "<mask>")
    lines = run("fill-mask", masked, "--from", "bert").output.splitlines()
    assert [line for line in lines if line.startswith("<")] == ["<mask> 1", "<mask> 2"]
    assert lines[1:6] == run("fill-mask", MASKED).output.splitlines()[1:6]
    assert "no <mask> in" in run("fill-mask", "a [MASK]", "--from", "bert", code=1).output
    settings.write_text("{}")
    output = run("fill-mask", masked, "--from", "bert", code=1).output
    assert output == "error: bert: tokenizer_config.json names no mask token of the vocabulary\n"


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


def test_export_refuses_parts_by_name_and_folders_in_use(built, run, project):
    (project / "used").mkdir()
    (project / "used" / "file").touch()
    output = run("export", "--model", "gpt", project / "used", code=1).output
    assert "used already exists: give a new or an empty folder" in output
    path = project / "models" / "gpt" / "seed-0" / "config.json"
    config = json.loads(path.read_text())
    config["architecture"]["qk_norm"] = True
    path.write_text(json.dumps(config))
    output = run("export", "--model", "gpt", project / "out", code=1).output
    assert "models/gpt cannot be exported: GPT2LMHeadModel does not support qk_norm" in output
    assert not (project / "out").exists()
    output = run("export", "--model", "vit", project / "text.txt" / "out", code=1).output
    assert output == f"error: {project / 'text.txt' / 'out'}: Not a directory\n"


def test_an_exported_tokenizer_adds_nothing(built, run, project):
    run("export", "--model", "bert", project / "bert")
    tokenizer = AutoTokenizer.from_pretrained(project / "bert")
    ours = Tokenizer.from_file("data/bert/tokenizer.json")
    assert tokenizer(MASKED).input_ids == ours.encode(MASKED, add_special_tokens=False).ids
    assert AutoModelForMaskedLM.from_pretrained(project / "bert").config.type_vocab_size == 1
