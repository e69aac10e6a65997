"""Continues a text, and fills in the masked words of a text."""

import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from pipeline.errors import UserError
from pipeline.inference.loading import text_model
from pipeline.prompts import Prompt, silent_tokens
from pipeline.wording import wrapped
from transformer.generation import Sampling, stream


@dataclass(frozen=True)
class Guess:
    """A prediction for a masked word, and its probability."""

    word: str
    probability: float


def continuation(
    prompt: str,
    source: Path | None,
    count: int,
    chosen: dict[str, float],
    seed: int,
    stop: tuple[str, ...],
) -> Iterator[str]:
    """Yield `prompt` and its continuation in pieces.

    chosen: fields of Sampling that replace the model's.

    Raises:
        UserError: a number is outside its range, the model cannot be used, the prompt is empty,
            or a stop token does not exist.
    """
    try:
        Sampling(**chosen)
    except ValueError as error:  # such as nan, which the command line's ranges accept
        raise UserError(str(error)) from None
    text = text_model("gpt", source)
    tokenizer, sampling = text.tokenizer, replace(text.generation.sampling, **chosen)
    ends = [*text.generation.stop, *(token for each in stop for token in _tokens(tokenizer, each))]
    read = text.encode(prompt)
    ids = read.ids
    if not ids:
        raise UserError("the prompt is empty: it needs at least one token")
    _print_unknown_words(read)
    generator = torch.Generator().manual_seed(seed)
    yield prompt
    silent = silent_tokens(tokenizer)
    written = list(ids)
    # Includes the unknown words of the prompt; otherwise the first new word would have no space.
    shown = whole = tokenizer.decode(written, skip_special_tokens=False)
    for (token,) in stream(text.model, [ids], count, text.context, sampling, generator, ends):
        if token in silent:
            continue
        written.append(token)
        whole = tokenizer.decode(written, skip_special_tokens=False)
        # An incomplete character: wait for the token that completes it.
        if not whole.endswith("\N{REPLACEMENT CHARACTER}"):
            yield whole[len(shown) :]
            shown = whole
    yield whole[len(shown) :]


def _print_unknown_words(prompt: Prompt) -> None:
    if prompt.unknown:
        words = ", ".join(map(repr, dict.fromkeys(prompt.unknown)))
        print(wrapped(f"note: words that are not in the vocabulary: {words}"), file=sys.stderr)


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens that decode to `text`, whatever their names in the vocabulary.

    Raises:
        UserError: there are none.
    """
    ids = list(tokenizer.get_vocab().values())
    shown = tokenizer.decode_batch([[token] for token in ids], skip_special_tokens=False)
    wanted = (text, unicodedata.normalize("NFC", text))
    found = [token for token, each in zip(ids, shown, strict=True) if each in wanted]
    if not text or not found:
        raise UserError(f"--stop {text!r} is not one token of this model's vocabulary")
    return found


def fillings(masked: str, source: Path | None, top: int) -> tuple[str, list[list[Guess]]]:
    """The model's mask token, and the most likely words for each one in a text, best first.

    Raises:
        UserError: the model cannot be used, or the text has no mask or is too long.
    """
    text = text_model("bert", source)
    name, tokenizer = text.mask, text.tokenizer
    if name is None or tokenizer.token_to_id(name) is None:
        raise UserError(f"{source}: tokenizer_config.json names no mask token of the vocabulary")
    mask = tokenizer.token_to_id(name)
    read = text.encode(masked)
    ids = read.ids
    if mask not in ids:
        raise UserError(f"no {name} in {masked!r}: write one for each word to predict")
    if len(ids) > text.context:
        raise UserError(f"{len(ids)} tokens, but the model takes at most {text.context}")
    _print_unknown_words(read)
    tokens = torch.tensor([ids])
    places = (tokens[0] == mask).nonzero()[:, 0]
    with torch.inference_mode():
        chances = text.model(tokens, head_inputs={"indices": places}).softmax(-1)
    chances, words = chances.topk(min(top, chances.shape[1]))
    return name, [
        [
            Guess(tokenizer.decode([word], skip_special_tokens=False), chance)
            for word, chance in zip(*row, strict=True)
        ]
        for row in zip(words.tolist(), chances.tolist(), strict=True)
    ]
