"""Beam search for the likeliest output of a causal Transformer, with or without an encoder."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.cache import KeyValueCache
from transformer.generation import next_logits
from transformer.model import Transformer


class Hypothesis(NamedTuple):
    """A sequence that follows a prompt.

    tokens: with the stop token, if it has ended.
    log_probability: of all tokens together, given the prompt and the source, in nats.
    """

    tokens: list[int]
    log_probability: float


@torch.inference_mode()
def beam_search(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    count: int,
    context: int,
    width: int,
    best: int = 1,
    stop: Sequence[int] = (),
    source: Tensor | None = None,
    source_mask: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """The `best` sequences after each prompt, the likeliest first (Sutskever et al. 2014,
    "Sequence to Sequence Learning with Neural Networks", section 3.2).

    Each step keeps, of all one-token extensions of a row's hypotheses and those that have ended,
    the `width` likeliest. A row is complete when its `best` have ended: no other can overtake them,
    and the model no longer runs for it.
    Width 1 is greedy decoding; a width of all possible sequences is exhaustive search.

    model: with a causal pattern, in evaluation mode. The encoder runs once.
    count: the most tokens of a hypothesis.
    context: the most tokens that the model sees.
    prompts, stop, source, source_mask: see `stream`.

    Raises:
        ValueError: a prompt is empty, `count` is below 1, a prompt with `count` tokens is longer
            than the context, `best` is not from 1 to `width`, or as in `stream`.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("a prompt is empty: it needs at least one token")
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if not 1 <= best <= width:
        raise ValueError(f"best must be from 1 to width, {width}, not {best}")
    longest = max(map(len, prompts)) + count
    if longest > context:
        raise ValueError(f"a prompt and {count} tokens are {longest}, above the context {context}")
    B, K, device = len(prompts), width, next(model.parameters()).device
    cache = KeyValueCache(B, longest, device)
    logits = next_logits(model, prompts, cache, source, source_mask)  # (B, V)
    # From here on, B are the rows that are not complete.
    rows = torch.arange(B, device=device)  # (B,) of the prompts
    cache.select(rows.repeat_interleave(K), rows)
    logits = logits.repeat_interleave(K, 0)  # (B * K, V)
    stops = torch.tensor(stop, dtype=torch.long, device=device)
    # A row begins with one empty hypothesis; the others are impossible.
    scores = torch.full((B, K), float("-inf"), device=device)
    scores[:, 0] = 0.0
    ended = torch.zeros(B, K, dtype=torch.bool, device=device)
    tokens = torch.empty(B, K, 0, dtype=torch.long, device=device)
    found: list[list[Hypothesis]] = [[] for _ in prompts]
    for step in range(count):
        steps = logits.float().log_softmax(-1).view(*scores.shape, -1)  # (B, K, V)
        V = steps.shape[-1]
        # What has ended is a candidate once, as it is: with a token -1 at no cost.
        steps = steps.masked_fill(ended[..., None], float("-inf"))
        steps[..., 0] = steps[..., 0].masked_fill(ended, 0.0)
        scores, indices = (scores[..., None] + steps).flatten(1).topk(K)  # (B, K) of (B, K * V)
        parents, chosen = indices // V, indices % V  # (B, K) both: hypothesis and its next token
        ended = ended.gather(1, parents)  # (B, K)
        tokens = tokens.gather(1, parents[..., None].expand(-1, -1, step))  # (B, K, step)
        added = chosen.masked_fill(ended, -1)[..., None]  # (B, K, 1)
        tokens = torch.cat((tokens, added), dim=-1)
        ended |= torch.isin(chosen, stops)
        complete = ended[:, :best].all(1) | (step == count - 1)  # (B,)
        for row, *of_row in zip(
            *(each.tolist() for each in (rows[complete], tokens[complete], scores[complete])),
            strict=True,
        ):
            found[row] = _hypotheses(*of_row)[:best]
        # Only the other rows go on.
        (left,) = (~complete).nonzero(as_tuple=True)  # (B,)
        if not len(left):
            break
        cache.select((left[:, None] * K + parents[left]).flatten(), left)
        rows, scores, ended, tokens = (each[left] for each in (rows, scores, ended, tokens))
        logits = next_logits(model, chosen[left].view(-1, 1).tolist(), cache)  # (B * K, V)
    return found


def _hypotheses(tokens: list[list[int]], scores: list[float]) -> list[Hypothesis]:
    """Those that are possible: there may be fewer sequences than the width."""
    return [
        Hypothesis([token for token in sequence if token >= 0], score)
        for sequence, score in zip(tokens, scores, strict=True)
        if score > float("-inf")
    ]
