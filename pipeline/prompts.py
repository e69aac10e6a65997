"""Encodes prompts for the models trained here, in the same way as their corpora."""

import unicodedata
from dataclasses import dataclass

from tokenizers import Tokenizer

UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Prompt:
    """The tokens of a text, and its words that are not in the vocabulary."""

    ids: list[int]
    unknown: list[str]


def read(tokenizer: Tokenizer, text: str, mask: str | None = None) -> Prompt:
    """Encode a text, normalized to Unicode NFC. Names of special tokens are plain text, except
    `mask`."""
    tokenizer.encode_special_tokens = True
    unknown_id = tokenizer.token_to_id(UNKNOWN)
    parts = unicodedata.normalize("NFC", text)
    ids: list[int] = []
    unknown: list[str] = []
    for number, part in enumerate(parts.split(mask) if mask else [parts]):
        if number:
            ids.append(tokenizer.token_to_id(mask))
        encoding = tokenizer.encode(part, add_special_tokens=False)
        ids += encoding.ids
        unknown += [
            part[start:end]
            for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token == unknown_id
        ]
    return Prompt(ids, unknown)
