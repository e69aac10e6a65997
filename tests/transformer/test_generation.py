"""Generation: the KV cache gives the logits of a full forward pass; sampling obeys its settings."""

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

import transformer
import transformer.generation as generation
from tests.transformer.decoders import VARIANTS, decoder
from transformer import Architecture
from transformer.cache import KeyValueCache
from transformer.generation import Sampling, generate, stream
from transformer.patterns import Causal, Packed

CONTEXT, VOCABULARY = 12, 9
GREEDY = Sampling(temperature=0)


def model(variant: str = "learned"):
    return decoder(transformer.gpt, variant, VOCABULARY, CONTEXT)


class Window(Causal):
    """A token sees itself and the two before it, as numbers that are added to the scores."""

    def __call__(self, length, attention_mask):
        distance = torch.arange(length)[:, None] - torch.arange(length)
        near = (distance >= 0) & (distance < 3)
        return {"attn_mask": torch.zeros(length, length).masked_fill(~near, float("-inf"))}


class Slopes(Causal):
    """A penalty on distance, another for each head (Press et al. 2022, "ALiBi")."""

    def __call__(self, length, attention_mask):
        distance = torch.arange(length)[:, None] - torch.arange(length)
        slopes = torch.tensor([2.0, 1.0, 0.5, 0.25])[:, None, None]
        return {"attn_mask": (-slopes * distance).masked_fill(distance < 0, float("-inf"))[None]}


class Growing(Causal):
    """A token of a longer sequence sees more tokens before it."""

    def __call__(self, length, attention_mask):
        distance = torch.arange(length)[:, None] - torch.arange(length)
        return {"attn_mask": (distance >= 0) & (distance <= length // 4)}


def with_pattern(pattern):
    gpt = model()
    gpt.pattern = pattern
    return gpt


@pytest.mark.parametrize("pattern", [Window(), Slopes()])
@torch.inference_mode()
def test_generation_sees_what_the_pattern_of_the_model_shows(pattern):
    gpt, plain = with_pattern(pattern), model()
    prompts = [[1, 2, 3, 4, 5, 6], [3, 1], [5] * 20]
    expected = [by_the_rule(gpt, prompt, 10) for prompt in prompts]
    assert generate(gpt, prompts, 10, CONTEXT, GREEDY) == expected
    assert generate(plain, prompts, 10, CONTEXT, GREEDY) != expected


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_token_by_token_the_logits_are_those_of_the_full_forward_pass(variant):
    gpt, tokens = model(variant), torch.randint(VOCABULARY, (3, CONTEXT))
    cache = KeyValueCache(3, CONTEXT)
    parts = []
    for part in tokens.split([4, 3, 1, 1, 1, 1, 1], dim=1):
        parts.append(gpt.head(gpt.encode(part, cache=cache)))
        cache.advance(torch.full((3,), part.shape[1]))
    torch.testing.assert_close(torch.cat(parts, 1), gpt(tokens), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="13 tokens do not fit into a cache of 12"):
        gpt.encode(tokens[:, :1], cache=cache)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_rows_of_different_lengths_do_not_disturb_each_other(variant):
    gpt, tokens = model(variant), torch.randint(VOCABULARY, (3, CONTEXT))
    cache, counts = KeyValueCache(3, CONTEXT), torch.tensor([2, 5, 3])
    gpt.encode(tokens[:, :5], cache=cache)  # including padding after the ends of rows
    cache.advance(counts)
    for _ in range(4):
        following = tokens.gather(1, cache.lengths[:, None])
        logits = gpt.head(gpt.encode(following, cache=cache))[:, 0]
        cache.advance(torch.ones(3, dtype=torch.long))
        for row, length in enumerate(cache.lengths.tolist()):
            full = gpt(tokens[row : row + 1, :length])[0, -1]
            torch.testing.assert_close(logits[row], full, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_memory_that_holds_no_tokens_yet_is_never_read(monkeypatch):
    def nothing(like, *size):
        return torch.full(torch.Size(size[0] if len(size) == 1 else size), torch.nan)

    monkeypatch.setattr(torch.Tensor, "new_empty", nothing)
    gpt, tokens = model(), torch.randint(VOCABULARY, (3, CONTEXT))
    cache, counts = KeyValueCache(3, CONTEXT), torch.tensor([2, 5, 3])
    gpt.encode(tokens[:, :5], cache=cache)
    cache.advance(counts)
    for rows in ([2, 0, 2, 1], [1, 3]):  # of the cache as it was
        rows = torch.tensor(rows)
        cache.select(rows, rows)
        tokens = tokens[rows]
        following = tokens.gather(1, cache.lengths[:, None])
        logits = gpt.head(gpt.encode(following, cache=cache))[:, 0]
        cache.advance(torch.ones(len(rows), dtype=torch.long))
        for row, length in enumerate(cache.lengths.tolist()):
            full = gpt(tokens[row : row + 1, :length])[0, -1]
            torch.testing.assert_close(logits[row], full, rtol=1e-4, atol=1e-5)


def by_the_rule(gpt, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens by the full forward pass, with the rule for texts beyond the context."""
    window, written = prompt[-CONTEXT:], []
    for _ in range(count):
        written.append(gpt(torch.tensor([window]))[0, -1].argmax().item())
        window = [*window, written[-1]]
        window = window[-CONTEXT // 2 :] if len(window) > CONTEXT else window
    return written


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_past_the_context_a_row_goes_on_from_its_last_half(variant):
    gpt = model(variant)
    prompts = [[1, 2], [3] * 7, list(range(9)) * 2, [5]]
    expected = [by_the_rule(gpt, prompt, 30) for prompt in prompts]
    assert generate(gpt, prompts, 30, CONTEXT, GREEDY) == expected
    assert generate(gpt, prompts[:1], 30, CONTEXT, GREEDY) == expected[:1]


def test_a_stop_token_ends_its_row_alone():
    def write(stop: list[int]) -> list[list[int]]:
        generator = torch.Generator().manual_seed(1)
        sampling = Sampling(temperature=9.0)
        return generate(model(), [[1, 2], [3, 4, 5]], 30, CONTEXT, sampling, generator, stop)

    whole = write(stop=[])
    stop = whole[0][3]
    rows = [row[: row.index(stop) + 1] if stop in row else row for row in whole]
    assert write(stop=[stop]) == rows
    assert len(rows[0]) <= 4


def test_tokens_are_given_as_they_come():
    steps = stream(model(), [[1]], 5, CONTEXT, GREEDY)
    (written,) = generate(model(), [[1]], 2, CONTEXT, GREEDY)
    assert [next(steps), next(steps)] == [[token] for token in written]


def test_the_same_generator_draws_the_same():
    first, second, other = (
        generate(model(), [[1, 2]], 20, CONTEXT, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert first == second != other


def test_samples_follow_the_models_chances():
    torch.manual_seed(0)
    drawn = generate(model(), [[1, 2]] * 4000, 1, CONTEXT, Sampling(2.0))
    found = torch.tensor(drawn)[:, 0].bincount(minlength=VOCABULARY) / 4000
    expected = (model()(torch.tensor([[1, 2]]))[0, -1] / 2.0).softmax(-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("top_k", [0, 1, 5, 500])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3, 0.01])
def test_filters_are_those_of_transformers(top_k, top_p):
    torch.manual_seed(0)
    logits = theirs = torch.randn(6, 50) * 3
    warpers = [TemperatureLogitsWarper(0.7)]
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    for warp in warpers:
        theirs = warp(None, theirs)
    ours = Sampling(0.7, top_k, top_p).probabilities(logits)
    torch.testing.assert_close(ours, theirs.softmax(-1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Sampling(temperature=-1), "temperature must be 0 or at least"),
        (lambda: Sampling(temperature=1e-44), "temperature must be 0 or at least"),
        (lambda: Sampling(temperature=float("nan")), "temperature must be 0 or at least"),
        (lambda: Sampling(top_p=float("nan")), "top_p must be above 0"),
        (lambda: Sampling(top_k=-1), "top_k must be at least 0"),
        (lambda: Sampling(top_p=0.0), "top_p must be above 0"),
        (lambda: generate(model(), [[]], 1, CONTEXT), "a prompt is empty"),
        (
            lambda: generate(transformer.bert(Architecture(1, 1, 4, 4), 9, 5), [[1]], 1, 5),
            "only a causal pattern can generate: Bidirectional also sees later tokens",
        ),
        (
            lambda: generate(with_pattern(Packed(causal=True)), [[1]], 1, CONTEXT),
            "a KV cache cannot serve the pattern Packed: a packed batch needs attention_mask",
        ),
        (
            lambda: generate(with_pattern(Growing()), [[1]], CONTEXT - 1, CONTEXT),
            "cannot serve the pattern Growing: what a token sees depends on the length",
        ),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_of_equal_logits_top_k_keeps_as_many_as_it_says():
    chances = Sampling(top_k=2).probabilities(torch.tensor([[1.0, 1.0, 1.0, 0.0]]))
    assert sorted(chances[0].tolist()) == [0.0, 0.0, 0.5, 0.5]


@pytest.mark.parametrize("sampling", [Sampling(top_p=1e-300), Sampling(temperature=1e-6)])
def test_the_narrowest_choice_is_the_likeliest_token(sampling):
    chances = sampling.probabilities(torch.tensor([[0.5, 3.0, -2.0]]))
    assert chances.tolist() == [[0.0, 1.0, 0.0]]


def test_a_few_tokens_take_the_room_of_a_few():
    """The cache is not larger than needed, even if the context is."""
    gpt = transformer.gpt(Architecture(1, 1, 8, 8, positions="rotary"), VOCABULARY, 100_000).eval()
    made = []
    with pytest.MonkeyPatch.context() as patch:
        kind = generation.KeyValueCache
        patch.setattr(generation, "KeyValueCache", lambda *a: made.append(kind(*a)) or made[-1])
        generate(gpt, [[1, 2, 3]], 4, 100_000)
    assert [cache.capacity for cache in made] == [7]


@torch.inference_mode()
def test_a_cache_brings_its_own_positions_and_mask():
    gpt, tokens = model(), torch.zeros(1, 3, dtype=torch.long)
    given = {"attention_mask": tokens.bool(), "position_ids": torch.arange(3)}
    for key, value in given.items():
        with pytest.raises(ValueError, match="with a cache, position_ids and"):
            gpt.encode(tokens, cache=KeyValueCache(1, CONTEXT), **{key: value})
