"""Encodes prompts in the same way as their corpora, and decodes tokens for people to read."""

import unicodedata
from collections.abc import Iterable
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
    mask_id = tokenizer.token_to_id(mask) if mask else None
    ids: list[int] = []
    unknown: list[str] = []
    for number, part in enumerate(parts.split(mask) if mask else [parts]):
        if number and mask_id is not None:
            ids.append(mask_id)
        encoding = tokenizer.encode(part, add_special_tokens=False)
        ids += encoding.ids
        unknown += [
            part[start:end]
            for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token == unknown_id
        ]
    return Prompt(ids, unknown)


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """The text of a token of the vocabulary."""
    name = tokenizer.id_to_token(token)
    assert name is not None, token
    return name


def silent_tokens(tokenizer: Tokenizer) -> set[int]:
    """Special tokens that a text is shown without: all but the one for unknown words."""
    unknown = getattr(tokenizer.model, "unk_token", None)
    added = tokenizer.get_added_tokens_decoder().items()
    return {token for token, how in added if how.special and how.content != unknown}


def decode(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """Tokens as text. Unknown words stand there as the tokenizer's own token for them, such as
    [UNK]; other special tokens are left out."""
    silent = silent_tokens(tokenizer)
    shown = [token for token in ids if token not in silent]
    return tokenizer.decode(shown, skip_special_tokens=False)
