"""Documents, split into a training and a held-out part, as tokens."""

import difflib
import fnmatch
import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import tokenization
from pipeline.data.registry import TEXTS, WORDPIECE_VOCABULARY, Text
from pipeline.data.sources import fetch
from pipeline.errors import UserError
from pipeline.params import TextData

MARKDOWN_MARKS = re.compile(r"[#*_\\]")


@dataclass(frozen=True)
class Corpus:
    """Documents and where they come from; `files` are names and checksums."""

    documents: list[str]
    source: str
    title: str
    licence: str
    files: list[dict[str, str]]
    note: str | None


def read(name: str) -> Corpus:
    """A text of the registry by its name, or a user's own by its path.

    Raises:
        UserError: no such text, or a file that is not UTF-8.
    """
    if name in TEXTS:
        return _from_registry(name, TEXTS[name])
    path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(name, TEXTS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known texts: {', '.join(TEXTS)}"
        raise UserError(f"no text '{name}': neither known by that name nor a file; {hint}")
    content = path.read_bytes()
    files = [{"name": name, "sha256": hashlib.sha256(content).hexdigest()}]
    note = "another text"
    return Corpus([_decode(name, content)], name, path.name, "the user's", files, note)


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
    return Corpus(
        documents, name, text.title, text.licence, files, text.note
    )


def _decode(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{name}: not UTF-8 text (line {line}, byte {error.start}); convert it, "
            "for example with iconv -t UTF-8"
        ) from None


def encode(
    data: TextData,
) -> tuple[dict[str, np.ndarray], dict[str, Any], tokenization.Tokenizer]:
    """The tensors, the description and the tokenizer of a prepared text.

    The last `validation_fraction` of the tokens of every document is held out.
    Tensors: `train` and `validation`, vectors of int32.

    Raises:
        UserError: no such text, not UTF-8, or too short for a sequence.
    """
    corpus = read(data.text)
    tokenizer = tokenization.TOKENIZERS[data.tokenizer](corpus.documents)
    train, validation, validation_bytes = [], [], 0
    for document in corpus.documents:
        encoding = tokenizer.encode(document, add_special_tokens=False)
        cut = round(len(encoding) * (1 - data.validation_fraction))
        train += encoding.ids[:cut]
        validation += encoding.ids[cut:]
        if cut < len(encoding):
            validation_bytes += len(document[encoding.offsets[cut][0] :].encode())
    for split, tokens in (("training", train), ("validation", validation)):
        if len(tokens) <= data.sequence_length:
            raise UserError(
                f"{data.text}: the {split} part has {len(tokens)} tokens, too few for a sequence "
                f"of {data.sequence_length}; use a longer text or a shorter sequence_length"
            )
    tensors = {
        "train": np.array(train, dtype=np.int32),
        "validation": np.array(validation, dtype=np.int32),
    }
    files = corpus.files
    if data.tokenizer == "wordpiece":
        vocabulary = {"name": WORDPIECE_VOCABULARY.name, "sha256": WORDPIECE_VOCABULARY.sha256}
        files = [*files, vocabulary]
    unknown = tokenizer.token_to_id("[UNK]")
    meta = {
        "kind": "text",
        "source": corpus.source,
        "title": corpus.title,
        "licence": corpus.licence,
        "note": corpus.note,
        "files": files,
        "tokenizer": data.tokenizer,
        "vocabulary_size": tokenizer.get_vocab_size(),
        "sequence_length": data.sequence_length,
        "documents": len(corpus.documents),
        "train_tokens": len(train),
        "validation_tokens": len(validation),
        "validation_bytes": validation_bytes,
        "unknown_tokens": train.count(unknown) + validation.count(unknown),
        "unigram_entropy": _entropy(np.concatenate(list(tensors.values()))),
        "special": {
            name.strip("[]").lower(): tokenizer.token_to_id(name) for name in tokenization.SPECIAL
        },
    }
    return tensors, meta, tokenizer


def _entropy(tokens: np.ndarray) -> float:
    """Entropy of the token frequencies, in nats."""
    _, counts = np.unique(tokens, return_counts=True)
    frequencies = counts / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum())
