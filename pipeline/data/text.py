"""Prepares a text: tokens, split into a training and a held-out part."""

import codecs
import fnmatch
import hashlib
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from pipeline.data import suitability, tokenization
from pipeline.data.prepared import Prepared
from pipeline.data.registry import TEXTS, WORDPIECE_VOCABULARY, Text
from pipeline.data.sources import fetch, read_own
from pipeline.errors import UserError
from pipeline.parameters.base import ModelSection, TextData
from pipeline.wording import counted, wrapped

# The size of enwik8. Encoding takes about a hundred bytes of memory per character.
MAX_UNKNOWN = 0.5  # of all tokens: above, a model would mostly learn to predict "unknown"
MARKDOWN_MARKS = re.compile(r"[#*_\\]")


@dataclass(frozen=True)
class Corpus:
    """Documents and their origin; `files` has names and checksums."""

    documents: list[str]
    source: str
    title: str
    licence: str
    files: list[dict[str, str]]
    note: str | None


def read(name: str) -> Corpus:
    """A text of the registry by its name, or a user's own file by its path.

    Raises:
        UserError: there is no such text, or the file is empty, unreadable, too large or not UTF-8.
    """
    if name in TEXTS:
        return _from_registry(name, TEXTS[name])
    content = read_own(name, "text", TEXTS)
    files = [{"name": name, "sha256": hashlib.sha256(content).hexdigest()}]
    note = "another text"
    return Corpus([_plain(name, content)], name, Path(name).name, "the user's", files, note)


def _plain(name: str, content: bytes) -> str:
    r"""The text, with \n as line ends.

    Raises:
        UserError: it is empty or not UTF-8.
    """
    if (position := content.find(b"\0")) >= 0:
        raise UserError(
            f"{name}: a zero byte ({_place(content, position)}): not a text, or UTF-16; convert "
            "it, for example with iconv -f UTF-16 -t UTF-8"
        )
    text = _decode(name, content)
    if not text.strip():
        raise UserError(f"{name}: {'only white space' if text else 'empty'}; expected a text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _from_registry(name: str, text: Text) -> Corpus:
    path = fetch(text.file)
    if text.member is None:
        documents = [_decode(text.file.name, path.read_bytes())]
    else:
        with zipfile.ZipFile(path) as archive:
            members = sorted(fnmatch.filter(archive.namelist(), text.member))
            documents = [_decode(member, archive.read(member)) for member in members]
    if text.markdown:
        documents = [MARKDOWN_MARKS.sub("", document) for document in documents]
    files = [{"name": text.file.name, "sha256": text.file.sha256}]
    return Corpus(documents, name, text.title, text.licence, files, text.note)


def _decode(name: str, content: bytes) -> str:
    bare = content.removeprefix(codecs.BOM_UTF8)
    try:
        # NFC: a letter with an accent becomes one character.
        return unicodedata.normalize("NFC", bare.decode("utf-8"))
    except UnicodeDecodeError as error:
        place = _place(content, error.start + len(content) - len(bare))
        raise UserError(
            f"{name}: not UTF-8 text ({place}); convert it, for example with iconv -t UTF-8"
        ) from None


def _place(content: bytes, position: int) -> str:
    line = content[:position].count(b"\n") + 1
    return f"line {line}, byte {position}"


def prepare(section: ModelSection) -> Prepared:
    """The text of a model's section; see `encode`."""
    tensors, meta, tokenizer = encode(section.data)
    amount = (
        f"{meta['train_tokens']:,} + {counted(meta['validation_tokens'], 'token')}, "
        f"{meta['vocabulary_size']:,} different ({meta['tokenizer']})"
    )
    # For `Tokenizer.from_file`.
    texts = {"tokenizer.json": tokenizer.to_str(pretty=True) + "\n"}
    return Prepared("tokens", tensors, meta, amount, texts)


def encode(data: TextData) -> tuple[dict[str, np.ndarray], dict[str, Any], Tokenizer]:
    """The tensors, the description (meta.json) and the tokenizer of a prepared text.

    The last `validation_fraction` of the tokens of each document is held out.
    Tensors: `train` and `validation`, vectors of int32; if examples begin at lines, also
    `train_lines`, the indices of the tokens that begin the lines of the training part.

    Raises:
        UserError: see `read`; or the text is too short, or most of its tokens are unknown.
    """
    corpus = read(data.text)
    by_lines = getattr(data, "examples", "anywhere") == "lines"
    tokenizer = tokenization.TOKENIZERS[data.tokenizer](corpus.documents)
    tokenizer.encode_special_tokens = True  # "[MASK]" in a text is plain text
    unknown = tokenizer.token_to_id("[UNK]")
    train, validation = list[int](), list[int]()
    validation_bytes, unknown_words, lines = 0, [], []
    for document in corpus.documents:
        encoding = tokenizer.encode(document, add_special_tokens=False)
        if unknown in encoding.ids:
            start, end = encoding.offsets[encoding.ids.index(unknown)]
            unknown_words.append(document[start:end])
        cut = int(len(encoding) * (1 - data.validation_fraction))
        if by_lines:
            lines.append(len(train) + _line_starts(document, encoding, cut))
        train += encoding.ids[:cut]
        validation += encoding.ids[cut:]
        if cut < len(encoding):
            validation_bytes += len(document[encoding.offsets[cut][0] :].encode())
    for split, tokens, change in (
        ("training", train, "smaller"),
        ("validation", validation, "larger"),
    ):
        wanted = split == "training" or data.validation_fraction > 0
        if wanted and len(tokens) <= data.sequence_length:
            raise UserError(
                f"{data.text}: the {split} part has {len(tokens)} tokens, too few for a sequence "
                f"of {data.sequence_length}: use a longer text, a shorter sequence_length or a "
                f"{change} validation_fraction"
            )
    unknown_tokens = 0 if unknown is None else train.count(unknown) + validation.count(unknown)
    if unknown_tokens:
        share = unknown_tokens / (len(train) + len(validation))
        message = (
            f"{data.text}: {share:.1%} of the tokens are unknown to the tokenizer "
            f"'{data.tokenizer}', first {unknown_words[0]!r}"
        )
        if share > MAX_UNKNOWN:
            raise UserError(f"{message}; use another tokenizer, such as 'char'")
        print(wrapped(f"note: {message}"))
    tensors = {
        "train": np.array(train, dtype=np.int32),
        "validation": np.array(validation, dtype=np.int32),
    }
    if by_lines:
        tensors["train_lines"] = np.concatenate(lines).astype(np.int32)
    everything = np.array(train + validation, dtype=np.int32)
    if reason := suitability.objection(corpus.documents, data.tokenizer, tokenizer, everything):
        print(wrapped(f"note: {data.text}: {reason}"))
    files = corpus.files
    if data.tokenizer == "wordpiece":
        vocabulary = {"name": WORDPIECE_VOCABULARY.name, "sha256": WORDPIECE_VOCABULARY.sha256}
        files = [*files, vocabulary]
    meta = {
        "kind": "text",
        "source": corpus.source,
        "title": corpus.title,
        "licence": corpus.licence,
        "note": corpus.note,
        "files": files,
        **data.model_dump(exclude={"text"}),
        "vocabulary_size": tokenizer.get_vocab_size(),
        "documents": len(corpus.documents),
        "train_tokens": len(train),
        "validation_tokens": len(validation),
        "validation_bytes": validation_bytes,
        "unknown_tokens": unknown_tokens,
        "unigram_entropy": _entropy(everything),
        "special": {
            name.strip("[]").lower(): tokenizer.token_to_id(name) for name in tokenization.SPECIAL
        },
    }
    if data.text not in TEXTS:
        meta["own"] = True  # no target applies
    return tensors, meta, tokenizer


def _line_starts(document: str, encoding: Encoding, cut: int) -> np.ndarray:
    """The token at which each line of the first `cut` tokens begins; an empty line begins at the
    next token, or at `cut` if it ends the text."""
    ends = [i + 1 for i, letter in enumerate(document) if letter == "\n"]
    starts = np.searchsorted([start for start, _ in encoding.offsets], [0, *ends])
    return starts[starts < cut] if cut < len(encoding) else starts


def _entropy(tokens: np.ndarray) -> float:
    """Entropy of the token frequencies, in nats."""
    _, counts = np.unique(tokens, return_counts=True)
    frequencies = counts / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum())
