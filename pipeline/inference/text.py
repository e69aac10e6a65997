"""Text that goes on, and words for the gaps of a text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.errors import UserError
from pipeline.inference.loading import text_model
from transformer.generate import Sampling, stream


@dataclass(frozen=True)
class Guess:
    """A word for a gap, and its probability."""

    word: str
    probability: float


def continuation(
    prompt: str,
    source: Path | None,
    count: int,
    sampling: Sampling,
    seed: int,
    stop: tuple[str, ...],
) -> Iterator[str]:
    """What follows `prompt`, in pieces as they come.

    Raises:
        UserError: the model cannot be used, the prompt is empty, or a stop token is none.
    """
    text = text_model("gpt", source)
    tokenizer = text.tokenizer
    stops = {token: tokenizer.token_to_id(token) for token in stop}
    unknown = [token for token, number in stops.items() if number is None]
    if unknown:
        raise UserError(f"--stop {unknown[0]!r} is not one token of this model's vocabulary")
    ids = text.encode(prompt)
    if not ids:
        raise UserError("the prompt is empty: there is nothing to go on from")
    ends = (*text.stop, *stops.values())
    generator = torch.Generator().manual_seed(seed)
    shown = tokenizer.decode(ids)
    for (token,) in stream(text.model, [ids], count, text.context, sampling, generator, ends):
        ids.append(token)
        whole = tokenizer.decode(ids)
        # Part of a character so far: wait for the token that completes it.
        if not whole.endswith("\N{REPLACEMENT CHARACTER}"):
            yield whole[len(shown) :]
            shown = whole


def fillings(masked: str, source: Path | None, top: int) -> list[list[Guess]]:
    """The likeliest words for each [MASK] of a text, best first.

    Raises:
        UserError: the model cannot be used, or the text has no [MASK] or is too long for it.
    """
    text = text_model("bert", source)
    mask = text.tokenizer.token_to_id("[MASK]")
    ids = text.encode(masked)
    if mask not in ids:
        raise UserError(f"no [MASK] in {masked!r}: write one for each word to guess")
    if len(ids) > text.context:
        raise UserError(f"{len(ids)} tokens, but the model takes {text.context} at most")
    tokens = torch.tensor([ids])
    places = (tokens[0] == mask).nonzero()[:, 0]
    with torch.inference_mode():
        chances = text.model(tokens, head_inputs={"positions": places}).softmax(-1)
    chances, words = chances.topk(min(top, chances.shape[1]))
    return [
        [
            Guess(text.tokenizer.id_to_token(word), chance)
            for word, chance in zip(*row, strict=True)
        ]
        for row in zip(words.tolist(), chances.tolist(), strict=True)
    ]
