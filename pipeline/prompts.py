"""Text for the models trained here, read as their corpora are."""

import unicodedata
from dataclasses import dataclass

from tokenizers import Tokenizer

UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class Prompt:
    """A text as tokens, and the words of it that have none of their own."""

    ids: list[int]
    unknown: list[str]


def read(tokenizer: Tokenizer, text: str, mask: str | None = None) -> Prompt:
    """Encode a text; the names of special tokens in it are plain text, all but `mask`.

    Letters with accents are taken as one, however they are written (Unicode's NFC).
    """
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
