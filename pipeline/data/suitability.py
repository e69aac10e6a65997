"""Checks whether a tokenizer suits the language of a text."""

import unicodedata
from collections import Counter

import numpy as np
from tokenizers import Tokenizer

LOOKED_AT = 1_000_000  # characters
# First word of the Unicode names of letters in scripts without spaces between words.
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "KHMER", "LAO", "MYANMAR", "THAI", "TIBETAN")
MAX_WITHOUT_SPACES = 0.1  # of all letters
MAX_PIECES = 1.6  # tokens per word or punctuation mark; English has 1.1 to 1.3


def objection(
    documents: list[str], name: str, tokenizer: Tokenizer, tokens: np.ndarray
) -> str | None:
    """Why the tokenizer `name` does not suit these documents, and a better one; or None.

    tokens: of all documents.
    """
    if name in ("word", "whitespace"):
        share = _without_spaces("".join(documents)[:LOOKED_AT])
        if share > MAX_WITHOUT_SPACES:
            return (
                f"{share:.0%} of the letters belong to scripts without spaces between words: for "
                f"the tokenizer '{name}' a clause is one word; 'char' suits this text better"
            )
    if name == "wordpiece":
        vocabulary = tokenizer.get_vocab().items()
        inner = [token for piece, token in vocabulary if piece.startswith("##")]
        pieces = 1 / max(1e-9, 1 - float(np.isin(tokens, inner).mean()))
        if pieces > MAX_PIECES:
            return (
                f"{pieces:.1f} tokens per word: the vocabulary of the tokenizer 'wordpiece' is "
                "English; 'word' or 'char' suits this text better"
            )
    return None


def _without_spaces(text: str) -> float:
    """The share of letters in such scripts."""
    letters = {c: count for c, count in Counter(text).items() if unicodedata.category(c)[0] == "L"}
    found = sum(
        count
        for letter, count in letters.items()
        if unicodedata.name(letter, "").startswith(WITHOUT_SPACES)
    )
    return found / max(1, sum(letters.values()))
