"""Four tokenizers, each as a `Tokenizer` of the tokenizers library."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.implementations import BertWordPieceTokenizer

from pipeline.data.registry import WORDPIECE_VOCABULARY
from pipeline.data.sources import fetch

SPECIAL = ("[PAD]", "[UNK]", "[MASK]")
MARKS = ",?;.:/*!+-()[]{}\"'&"  # as in the reference's code


def word(documents: list[str]) -> Tokenizer:
    """Lower-case words and single punctuation marks; vocabulary by frequency."""
    split = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    tokenizer = _from_counts(documents, normalizers.Lowercase(), split)
    return tokenizer


def whitespace(documents: list[str]) -> Tokenizer:
    """Lower-case words between spaces and line ends, and single marks of MARKS; vocabulary by
    frequency, then by first occurrence."""
    marks = re.escape(MARKS)
    split = pre_tokenizers.Split(
        Regex(rf"[{marks}]|[^{marks} \n]+"), behavior="removed", invert=True
    )
    return _from_counts(documents, normalizers.Lowercase(), split, ties=lambda token: 0)


def char(documents: list[str]) -> Tokenizer:
    """Single characters; vocabulary by frequency."""
    split = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer = _from_counts(documents, None, split)
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def wordpiece(documents: list[str]) -> Tokenizer:
    """The WordPiece vocabulary of bert-base-uncased; ignores the documents."""
    vocabulary = fetch(WORDPIECE_VOCABULARY)
    return BertWordPieceTokenizer(str(vocabulary), lowercase=True)._tokenizer


TOKENIZERS: dict[str, Callable[[list[str]], Tokenizer]] = {
    "word": word,
    "whitespace": whitespace,
    "char": char,
    "wordpiece": wordpiece,
}


def _from_counts(
    documents: list[str],
    normalizer: normalizers.Normalizer | None,
    split: pre_tokenizers.PreTokenizer,
    ties: Callable[[str], Any] = str,
) -> Tokenizer:
    """ties: sort key of equally frequent tokens; alphabetical by default."""
    counts: Counter[str] = Counter()
    for document in documents:
        text = normalizer.normalize_str(document) if normalizer else document
        counts.update(token for token, _ in split.pre_tokenize_str(text))
    ranked = sorted(counts, key=lambda token: (-counts[token], ties(token)))
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *ranked))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
