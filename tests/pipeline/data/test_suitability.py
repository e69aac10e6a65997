"""Notes on tokenizers that do not suit a language."""

import pytest

from pipeline.data import text
from pipeline.parameters.causal_lm import CausalLMData as TextData
from tests.conftest import ROOT

# Our own sentences; some contain a few words of another language.
ENGLISH = "The ship left the harbour at dawn, and the crew sang an old song. "
GERMAN = "Das Schiff verließ den Hafen früh am Morgen, und die Mannschaft sang ein altes Lied. "
FINNISH = "Laivan miehistö lauloi aamunkoitteessa vanhaa merimieslaulua satamasta lähtiessään. "
CHINESE = "清晨船离开了港口。船员们唱着一首古老的歌。"
JAPANESE = "船は夜明けに港を出て、船員たちは古い歌を歌った。"
THAI = "เรือออกจากท่าเรือตอนเช้า และลูกเรือร้องเพลงเก่า "
RUSSIAN = "Корабль вышел из гавани на рассвете, и команда пела старую песню. "
KOREAN = "배는 새벽에 항구를 떠났고 선원들은 오래된 노래를 불렀다. "


@pytest.fixture
def said(project, monkeypatch, capsys):
    """The output of encoding a text with a tokenizer."""
    monkeypatch.setenv("DVC_ROOT", str(ROOT))  # for the vocabulary in the shared cache

    def encode(content: str, tokenizer: str) -> str:
        (project / "own.txt").write_text(content * 30)
        text.encode(TextData(text="own.txt", tokenizer=tokenizer, sequence_length=4,
                             validation_fraction=0.25))  # fmt: skip
        return " ".join(capsys.readouterr().out.split())

    return encode


@pytest.mark.parametrize("content", [CHINESE, JAPANESE, THAI, ENGLISH + CHINESE])
def test_clauses_that_are_taken_for_words_are_reported(said, content):
    out = said(content, "word")
    assert out.startswith("note: own.txt: ") and out.count("note: ") == 1
    assert "scripts without spaces between words" in out and "'char' suits this text" in out
    assert said(content, "char") == ""


@pytest.mark.parametrize("content", [ENGLISH, GERMAN, RUSSIAN, KOREAN, ENGLISH * 20 + CHINESE])
def test_scripts_with_spaces_get_no_note(said, content):
    assert said(content, "word") == ""


@pytest.mark.parametrize("content", [RUSSIAN, FINNISH])
def test_a_language_that_falls_to_pieces_is_reported(said, content):
    out = said(content, "wordpiece")
    assert "tokens per word: the vocabulary of the tokenizer 'wordpiece' is English" in out


def test_english_word_pieces_get_no_note(said):
    assert said(ENGLISH, "wordpiece") == ""
