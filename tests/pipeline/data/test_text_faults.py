"""Unusual texts: read correctly, or refused with file and line."""

import os
import unicodedata

import pytest
from tokenizers import Tokenizer

from pipeline.data import sources, text
from pipeline.errors import UserError
from pipeline.parameters.causal_lm import CausalLMData as TextData
from tests.conftest import ROOT

WORDS = "to be or not to be that is the question "


def data(tokenizer: str = "word", length: int = 4, fraction: float = 0.25) -> TextData:
    return TextData(
        text="own.txt", tokenizer=tokenizer, sequence_length=length, validation_fraction=fraction
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "own.txt: empty"),
        (b"\xef\xbb\xbf", "own.txt: empty"),
        (b" \n\t\r\n \xc2\xa0 ", "own.txt: only white space"),
        (b"one\ntwo\nthr\x00ee", r"own.txt: a zero byte \(line 3, byte 11\): not a text"),
        ("zu sein".encode("utf-16"), r"own.txt: a zero byte \(line 1, byte 3\).*UTF-16"),
        ("zu sein".encode("utf-16-be"), r"own.txt: a zero byte \(line 1, byte 0\).*UTF-16"),
        ("a\nstraße".encode("latin-1"), r"own.txt: not UTF-8 text \(line 2, byte 6\)"),
        (b"\xef\xbb\xbfa\nb\xff", r"own.txt: not UTF-8 text \(line 2, byte 6\)"),
        (b"a\xed\xa0\x80", r"own.txt: not UTF-8 text \(line 1, byte 1\)"),  # half a surrogate pair
        (b"a \xe2\x82", r"own.txt: not UTF-8 text \(line 1, byte 2\)"),  # half a character
        (b"PK\x03\x04\x14\x00", r"own.txt: a zero byte \(line 1, byte 5\)"),  # an archive
        (b"to be or not", "training part has 3 tokens, too few.* a smaller validation_fraction"),
    ],
)
def test_a_file_that_is_not_a_text_is_refused_with_its_line(project, content, message):
    (project / "own.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        text.encode(data())


def test_a_text_whose_held_out_part_is_empty_is_refused(project):
    (project / "own.txt").write_text(WORDS * 20)
    with pytest.raises(UserError, match=r"validation part has 1 tokens?.* a larger validation_fra"):
        text.encode(data(fraction=1e-9))


def test_a_sequence_longer_than_the_text_is_refused(project):
    (project / "own.txt").write_text(WORDS * 20)
    with pytest.raises(UserError, match="150 tokens, too few for a sequence of 131072"):
        text.encode(data(length=131072))


def test_a_folder_is_no_text(project):
    (project / "own.txt").mkdir()
    with pytest.raises(UserError, match=r"own.txt: expected a text file"):
        text.encode(data())


@pytest.mark.skipif(os.geteuid() != 0, reason="another user may read all of root's")
def test_a_file_that_may_not_be_read_is_named(project):
    """Root may read everything, so the test switches to the user nobody."""
    (project / "own.txt").write_text(WORDS * 20)
    (project / "own.txt").chmod(0o600)
    for folder in (project, *project.parents[:-2]):  # pytest's folders allow only root
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=r"own.txt: cannot be read: Permission denied"):
            text.encode(data())
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b", "nul\x1b[2J", "/proc/self/mem"])
def test_a_name_that_the_system_cannot_hold_or_read_is_refused(project, name):
    with pytest.raises(UserError, match=r"no text '|cannot be read") as caught:
        text.read(name)
    assert str(caught.value).isprintable()


def test_a_text_too_large_to_be_encoded_is_refused(project):
    with (project / "own.txt").open("wb") as file:
        file.truncate(sources.MAX_BYTES + 1)
    with pytest.raises(UserError, match=r"own.txt: larger than 100,000,000 bytes"):
        text.encode(data())


@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_a_text_of_another_system_gives_the_same_tokens(project, tokenizer):
    """Line ends of Windows and old Macs, and a byte order mark."""
    unix = (WORDS + "\n") * 20
    (project / "own.txt").write_bytes(unix.encode())
    expected, meta, _ = text.encode(data(tokenizer))
    for written in (unix.replace("\n", "\r\n"), unix.replace("\n", "\r"), "\ufeff" + unix):
        (project / "own.txt").write_bytes(written.encode())
        tensors, other, _ = text.encode(data(tokenizer))
        assert tensors["train"].tolist() == expected["train"].tolist()
        assert tensors["validation"].tolist() == expected["validation"].tolist()
        assert other["validation_bytes"] == meta["validation_bytes"]


@pytest.mark.parametrize("tokenizer", ["word", "whitespace", "char", "wordpiece"])
def test_names_of_special_tokens_in_a_text_are_text(project, vocabulary, tokenizer):
    names = "[MASK] [UNK] [PAD] [CLS] [SEP]"
    (project / "own.txt").write_text(f"{WORDS}{names} " * 20)
    tensors, meta, made = text.encode(data(tokenizer))
    everything = tensors["train"].tolist() + tensors["validation"].tolist()
    assert meta["unknown_tokens"] == 0
    special = set(meta["special"].values()) | {made.token_to_id(name) for name in names.split()}
    assert not special & set(everything)
    letters = "".join(made.id_to_token(token).removeprefix("##") for token in everything)
    plain = "".join(f"{WORDS}{names} ".split()).lower()
    assert "".join(letters.lower().split()) == plain * 20


@pytest.mark.parametrize("tokenizer", ["word", "whitespace", "char", "wordpiece"])
def test_a_text_has_the_same_tokens_in_either_unicode_form(project, vocabulary, tokenizer):
    """Letter and accent as two characters (macOS) or as one, in one text and in two."""
    composed = "Le café était fermé, señor Åse. 한국 "
    apart = unicodedata.normalize("NFD", composed)
    assert composed != apart
    found = []
    for content in (composed + composed, apart + apart, composed + apart):
        (project / "own.txt").write_text(content * 20)
        tensors, meta, made = text.encode(data(tokenizer))
        found.append((tensors["train"].tolist(), meta["validation_bytes"], made.to_str()))
    assert found[0] == found[1] == found[2]


@pytest.fixture
def vocabulary(project, monkeypatch):
    """The published WordPiece vocabulary, in the shared cache."""
    monkeypatch.setenv("DVC_ROOT", str(ROOT))


def test_words_that_the_vocabulary_does_not_know_are_reported(project, vocabulary, capsys):
    (project / "own.txt").write_text("to be naïve 中 " * 20 + "to 🍕 be")
    tensors, meta, tokenizer = text.encode(data("wordpiece"))
    everything = tensors["train"].tolist() + tensors["validation"].tolist()
    assert len(everything) == 20 * 4 + 3
    assert everything.count(tokenizer.token_to_id("[UNK]")) == meta["unknown_tokens"] == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "note: own.txt: 1.2% of the tokens are unknown to the tokenizer 'wordpiece', fi" in said
    assert "first '🍕'" in said


def test_a_text_mostly_of_unknown_words_is_refused(project, vocabulary):
    """A model would always predict "unknown" and reach a very low loss."""
    (project / "own.txt").write_text("to ሰላም ለዓለም 🍕 " * 20)
    with pytest.raises(UserError, match=r"own.txt: 75.0% .*'wordpiece', first 'ሰላም'; use anot"):
        text.encode(data("wordpiece"))


@pytest.mark.parametrize(
    ("tokenizer", "line", "expected"),
    [
        ("word", "to be 🍕 ZORBLAX question", ["to", "be", "[UNK]", "[UNK]", "question"]),
        ("char", "q🍕", ["q", "[UNK]"]),
        ("wordpiece", "To ሰላም 中 🍕 pizzas", ["to", "[UNK]", "中", "[UNK]", "pizza", "##s"]),
    ],
)
def test_unseen_words_at_prediction_time_are_unknown_words(
    project, vocabulary, tokenizer, line, expected
):
    (project / "own.txt").write_text(WORDS * 20)
    _, meta, made = text.encode(data(tokenizer))
    made.save(str(project / "tokenizer.json"))
    loaded = Tokenizer.from_file(str(project / "tokenizer.json"))
    encoding = loaded.encode(line, add_special_tokens=False)
    assert encoding.tokens == expected
    assert max(encoding.ids) < meta["vocabulary_size"]
