"""Text generation by a causal Transformer with a KV cache, with or without an encoder.

Beyond the context: when a row is longer than `context` tokens, generation continues from its last
`context // 2` tokens, at positions from zero. So each token sees at least half a context, and one
recomputation serves the next half context of tokens.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from transformer.cache import KeyValueCache
from transformer.model import Transformer
from transformer.selection import TokensAt

LEAST = 1e-6  # temperature other than 0


@dataclass(frozen=True)
class Sampling:
    """How to sample the next token from the logits; the filters apply in this order.

    temperature: divides the logits; 0 is greedy decoding. Smaller numbers than LEAST are refused:
        they would also be greedy.
    top_k: keep only the k most likely tokens; 0 for all.
    top_p: keep only the most likely tokens that together reach this probability (Holtzman et al.
        2020, "The Curious Case of Neural Text Degeneration", section 3.1); 1 for all.

    Raises:
        ValueError: a number outside its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature != 0 and not LEAST <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 or at least {LEAST}, not {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be at least 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, vocabulary) logits to probabilities after all filters; temperature above 0."""
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            best = logits.topk(self.top_k)
            nothing = torch.full_like(logits, float("-inf"))
            logits = nothing.scatter(-1, best.indices, best.values)
        probabilities = logits.softmax(-1)
        if self.top_p < 1:
            ranked, order = probabilities.sort(dim=-1, descending=True)
            # Keep a token if those before it do not yet reach top_p; always keep the first.
            kept = ranked.cumsum(-1) - ranked < self.top_p
            kept[..., 0] = True
            probabilities = probabilities * torch.zeros_like(kept).scatter(-1, order, kept)
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        return probabilities

    def choose(self, logits: Tensor, generator: Generator | None) -> Tensor:
        """(B, vocabulary) logits to one token for each row, (B,), on the CPU."""
        if self.temperature == 0:
            return logits.argmax(-1).cpu()
        probabilities = self.probabilities(logits.float()).cpu()
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


@torch.inference_mode()
def stream(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    count: int,
    context: int,
    sampling: Sampling | None = None,
    generator: Generator | None = None,
    stop: Sequence[int] = (),
    source: Tensor | None = None,
    source_mask: Tensor | None = None,
) -> Iterator[list[int | None]]:
    """Yield up to `count` tokens after each prompt: one for each row, None after a row has ended.

    model: with a causal pattern, in evaluation mode; with an encoder, the prompts begin its output.
    prompts: token ids, of any lengths above 0; only the last `context` tokens are used.
    context: the most tokens that the model sees; see the module's docstring.
    generator: on the CPU, so that all devices draw the same numbers.
    stop: tokens that end a row; they are part of the output.
    source, source_mask: input of the encoder and its mask, a row for each prompt; see `padded`.

    Raises:
        ValueError: the model is not causal, a prompt is empty, or the source does not fit the model
            (see `Transformer.encode`).
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("a prompt is empty: it needs at least one token")
    sampling = sampling or Sampling()
    windows = [list(prompt[-context:]) for prompt in prompts]
    room = min(context, max(map(len, windows)) + count)
    cache = KeyValueCache(len(prompts), room, next(model.parameters()).device)
    ended = torch.zeros(len(prompts), dtype=torch.bool)
    logits = next_logits(model, windows, cache, source, source_mask)
    for step in range(count):
        chosen = sampling.choose(logits, generator).tolist()
        yield [None if over else token for token, over in zip(chosen, ended.tolist(), strict=True)]
        ended |= torch.tensor([token in stop for token in chosen])
        if ended.all() or step == count - 1:
            return
        for window, token in zip(windows, chosen, strict=True):
            window.append(token)
        if any(len(window) > context for window in windows):
            windows = [w[-max(1, context // 2) :] if len(w) > context else w for w in windows]
            cache.clear()
            logits = next_logits(model, windows, cache, source, source_mask)
        else:
            logits = next_logits(model, [[token] for token in chosen], cache)


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    count: int,
    context: int,
    sampling: Sampling | None = None,
    generator: Generator | None = None,
    stop: Sequence[int] = (),
    source: Tensor | None = None,
    source_mask: Tensor | None = None,
) -> list[list[int]]:
    """All tokens that `stream` yields for each prompt; arguments as there."""
    rows: list[list[int]] = [[] for _ in prompts]
    for tokens in stream(
        model, prompts, count, context, sampling, generator, stop, source, source_mask
    ):
        for row, token in zip(rows, tokens, strict=True):
            if token is not None:
                row.append(token)
    return rows


def next_logits(
    model: Transformer,
    rows: Sequence[Sequence[int]],
    cache: KeyValueCache,
    source: Tensor | None = None,
    source_mask: Tensor | None = None,
) -> Tensor:
    """Add tokens to the cache; return logits (B, vocabulary) after the last token of each row.

    source, source_mask: see `Transformer.encode`.
    """
    # Padding follows the tokens, so that no real token sees it.
    tokens, mask = padded(rows, cache.device)
    counts = mask.sum(1)
    firsts = torch.arange(len(tokens), device=cache.device) * tokens.shape[1]  # of each row
    hidden = model.encode(
        tokens,
        source=source,
        source_mask=source_mask,
        cache=cache,
        keep=TokensAt(firsts + counts - 1),
    )
    cache.advance(counts.cpu())
    return model.head(hidden)  # (B, d_model) to (B, V)


def padded(
    rows: Sequence[Sequence[int]], device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Rows of tokens of any lengths as (B, T) tokens, with zeros behind shorter rows, and a (B, T)
    mask, True at real tokens."""
    counts = torch.tensor([len(row) for row in rows])
    longest = int(counts.max())
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.arange(longest) < counts[:, None]
    return tokens.to(device), mask.to(device)
