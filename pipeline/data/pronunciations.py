"""Prepares a pronouncing dictionary: letters and sounds as numbers, split by word."""

import codecs
import hashlib
import re
from typing import Any

import numpy as np

from pipeline.data.prepared import Prepared
from pipeline.data.registry import DICTIONARIES, about
from pipeline.data.sources import fetch, read_own
from pipeline.errors import UserError
from pipeline.parameters.grapheme_to_phoneme import (
    GraphemeToPhonemeData,
    GraphemeToPhonemeSection,
)
from pipeline.wording import counted, wrapped

MAX_LENGTH = 256  # letters of a word, or sounds of a pronunciation
FURTHER = re.compile(r"\(\d+\)$")  # word(2) is a further pronunciation of the same word
SPLITS = ("train", "validation", "test")
Words = dict[str, list[tuple[str, ...]]]  # the pronunciations of each word, in the file's order


def prepare(section: GraphemeToPhonemeSection) -> Prepared:
    """The dictionary of a model's section; see `encode`."""
    tensors, meta = encode(section.data)
    amount = (
        f"{meta['train_words']:,} + {meta['validation_words']:,} + "
        f"{counted(meta['test_words'], 'word')}, {counted(len(meta['letters']), 'letter')}, "
        f"{counted(len(meta['sounds']), 'sound')}"
    )
    return Prepared("pronunciations", tensors, meta, amount)


def encode(data: GraphemeToPhonemeData) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the description (meta.json) of a prepared dictionary.

    A word belongs to one split, with all its pronunciations. Words with other characters than
    letters and the apostrophe (abbreviations such as a.m., compounds such as able-bodied) are left
    out. Letters and sounds are numbered from 1; 0 is padding.

    Tensors: `letters` (words, L) and `sounds` (pronunciations, S), int16, padded at the end with at
    least one 0; `word` (pronunciations,) int32, the word that each belongs to. Words are in the
    order of SPLITS, and alphabetical within a split; meta.json has the size of each.

    Raises:
        UserError: the file is missing, unreadable or not a dictionary, or a split has no words.
    """
    known = DICTIONARIES.get(data.dictionary)
    if known:
        content = fetch(known.file).read_bytes()
    else:
        content = read_own(data.dictionary, "dictionary", DICTIONARIES)
    everything = parse(known.file.name if known else data.dictionary, content)
    words = {word: said for word, said in everything.items() if _is_spelled(word)}
    if not words:
        raise UserError(
            f"{data.dictionary}: no words of letters; expected lines such as 'cat K AE1 T'"
        )
    if left := [word for word in everything if word not in words]:
        share = f"{len(left):,} of {len(everything):,} words"
        print(wrapped(f"note: {data.dictionary}: {share} have other characters than letters and "
                      f"apostrophes and are left out, such as {left[0]!r}"))  # fmt: skip
    splits = split(sorted(words), data)
    order = [word for each in splits for word in each]
    letters = sorted({letter for word in order for letter in word})
    sounds = sorted({sound for said in words.values() for each in said for sound in each})
    rows = [(index, said) for index, word in enumerate(order) for said in words[word]]
    tensors = {
        "letters": _padded(order, letters),
        "sounds": _padded([said for _, said in rows], sounds),
        "word": np.array([index for index, _ in rows], dtype=np.int32),
    }
    digest = known.file.sha256 if known else hashlib.sha256(content).hexdigest()
    meta = {
        "kind": "pronunciations",
        **about(data.dictionary, known, "another dictionary"),
        "files": [{"name": known.file.name if known else data.dictionary, "sha256": digest}],
        **data.model_dump(exclude={"dictionary"}),
        "letters": letters,
        "sounds": sounds,
        **{f"{name}_words": len(each) for name, each in zip(SPLITS, splits, strict=True)},
        **_sizes([(word, said) for word in splits[0] for said in words[word]]),
        "words_left_out": len(everything) - len(words),
        # Of the longest word or pronunciation, with what begins or ends it.
        "length": max(tensors["letters"].shape[1], tensors["sounds"].shape[1]) + 1,
    }
    if not known:
        meta["own"] = True  # no target applies
    return tensors, meta


def parse(name: str, content: bytes) -> Words:
    """The pronunciations of each word, in lower case, without repetitions.

    A line is a word and its sounds, separated by spaces; `#` begins a comment, and `;;;` at the
    beginning of a line as well. `word(2)` is a further pronunciation of `word`.

    Raises:
        UserError: the file is not UTF-8, or a line has no sounds or is too long.
    """
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{name}: not UTF-8 text (line {number}); convert it, for example with iconv -t UTF-8"
        ) from None
    words: Words = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields or line.startswith(";;;"):
            continue
        word, said = FURTHER.sub("", fields[0]).lower(), tuple(fields[1:])
        if not said:
            raise UserError(
                f"{name}, line {number}: {word!r} has no sounds; expected a word and its sounds, "
                "such as 'cat K AE1 T'"
            )
        if max(len(word), len(said)) > MAX_LENGTH:
            raise UserError(f"{name}, line {number}: more than {MAX_LENGTH} letters or sounds")
        known = words.setdefault(word, [])
        if said not in known:
            known.append(said)
    return words


def split(words: list[str], data: GraphemeToPhonemeData) -> tuple[list[str], list[str], list[str]]:
    """The words for training, validation and test, each in the order of `words`.

    Raises:
        UserError: one of them is empty.
    """
    order = np.random.default_rng(data.split_seed).permutation(len(words))
    counts = [round(len(words) * f) for f in (data.test_fraction, data.validation_fraction)]
    test, validation, train = np.split(order, np.cumsum(counts))
    found = [[words[index] for index in np.sort(part)] for part in (train, validation, test)]
    for name, each in zip(SPLITS, found, strict=True):
        if not each:
            raise UserError(
                f"{data.dictionary}: {counted(len(words), 'word')}, of which none are left for the "
                f"{name} split: use a larger dictionary or other fractions"
            )
    return found[0], found[1], found[2]


def _sizes(pairs: list[tuple[str, tuple[str, ...]]]) -> dict[str, int]:
    """The number of pronunciations of the training split, and of their letters and sounds."""
    return {
        "train_pronunciations": len(pairs),
        "train_letters": sum(len(word) for word, _ in pairs),
        "train_sounds": sum(len(said) for _, said in pairs),
    }


def _is_spelled(word: str) -> bool:
    """Whether a word has only letters and apostrophes."""
    return word.replace("'", "").isalpha()


def _padded(rows: list[Any], names: list[str]) -> np.ndarray:
    """Rows of names as numbers from 1, with zeros behind them: (rows, longest + 1)."""
    numbers = {name: number for number, name in enumerate(names, 1)}
    table = np.zeros((len(rows), max(map(len, rows)) + 1), dtype=np.int16)
    for row, line in zip(table, rows, strict=True):
        row[: len(line)] = [numbers[name] for name in line]
    return table
