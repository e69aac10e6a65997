"""Prompts get the same tokens as in a corpus."""

import unicodedata

import pytest
from tokenizers import Tokenizer, models

from pipeline import prompts
from pipeline.data import tokenization

CORPUS = ["Le café [MASK] est fermé, señor . Quel est le prix [UNK] ?"]


@pytest.fixture(params=["word", "whitespace", "char"])
def tokenizer(request):
    return tokenization.TOKENIZERS[request.param](CORPUS)


def test_the_mask_alone_is_special_and_only_where_it_is_asked_for(tokenizer):
    mask = tokenizer.token_to_id("[MASK]")
    assert prompts.read(tokenizer, "le [MASK] est[MASK]", "[MASK]").ids.count(mask) == 2
    assert mask not in prompts.read(tokenizer, "le [MASK] est").ids
    read = prompts.read(tokenizer, "le [UNK] [MASK]", "[MASK]")
    assert tokenizer.token_to_id("[UNK]") not in read.ids and read.unknown == []


def test_either_unicode_form_has_the_same_tokens(tokenizer):
    for mask in (None, "[MASK]"):
        text = "café fermé [MASK] señor"
        read = prompts.read(tokenizer, text, mask)
        assert prompts.read(tokenizer, unicodedata.normalize("NFD", text), mask) == read
        assert read.unknown == []


def test_words_without_a_token_are_named_as_they_were_written():
    tokenizer = tokenization.word(CORPUS)
    read = prompts.read(tokenizer, "Le Zorblax [MASK] du 🍕 Zorblax", "[MASK]")
    assert read.unknown == ["Zorblax", "du", "🍕", "Zorblax"]
    assert [tokenizer.id_to_token(token) for token in read.ids] == [
        "le", "[UNK]", "[MASK]", "[UNK]", "[UNK]", "[UNK]"
    ]  # fmt: skip


def test_a_prompt_is_cut_as_the_tokenizer_itself_cuts_it(tokenizer):
    """Encoding in parts equals encoding at once with the mask as a special token."""
    for text in ("[MASK]", "le [MASK]", "[MASK][MASK] prix ?", "le prix [MASK] ."):
        tokenizer.encode_special_tokens = False
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        assert prompts.read(tokenizer, text, "[MASK]").ids == whole


def test_an_empty_prompt_has_no_tokens(tokenizer):
    assert prompts.read(tokenizer, "") == prompts.Prompt([], [])


def test_an_unknown_word_is_shown_and_other_special_tokens_are_not():
    tokenizer = tokenization.word(CORPUS)
    ids = [tokenizer.token_to_id(token) for token in ("[PAD]", "le", "[UNK]", "[MASK]", "prix")]
    assert prompts.decode(tokenizer, ids) == "le [UNK] prix"


def test_a_token_for_unknown_words_and_for_the_end_is_not_the_end_of_bpe():
    """GPT-2 names <|endoftext|> for unknown words, which its BPE over bytes does not have."""
    tokenizer = Tokenizer(models.BPE({"a": 0, "<|endoftext|>": 1}, []))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    assert prompts.decode(tokenizer, [0, 1, 0]).replace(" ", "") == "aa"
