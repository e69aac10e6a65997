"""Decoding with an encoder: the KV cache, greedy and beam search equal searches without them."""

import itertools

import pytest
import torch

import transformer
from tests.transformer.decoders import VARIANTS, decoder
from transformer import Architecture
from transformer.beam import beam_search
from transformer.cache import KeyValueCache
from transformer.generation import Sampling, generate, padded

CONTEXT, SOURCES, VOCABULARY, BEGIN, END = 8, 7, 5, 0, 4
SOURCE, MASK = padded([[1, 2, 3, 4, 5], [6, 1], [2, 2, 5]])


def model(variant: str = "learned"):
    return decoder(transformer.encoder_decoder, variant, SOURCES, VOCABULARY, CONTEXT)


def alone(row: int) -> dict[str, torch.Tensor]:
    """The source of one row, without padding."""
    return {"source": SOURCE[row : row + 1, MASK[row]]}


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_token_by_token_the_logits_are_those_of_the_full_forward_pass(variant):
    built, tokens = model(variant), torch.randint(VOCABULARY, (3, CONTEXT))
    cache, given = KeyValueCache(3, CONTEXT), {"source": SOURCE, "source_mask": MASK}
    parts = []
    for part in tokens.split([3, 2, 1, 1, 1], dim=1):
        parts.append(built.head(built.encode(part, cache=cache, **given)))
        cache.advance(torch.full((3,), part.shape[1]))
        given = {}
    logits = torch.cat(parts, 1)
    for row in range(3):
        full = built(tokens[row : row + 1], **alone(row))[0]
        torch.testing.assert_close(logits[row], full, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_encoder_runs_once(monkeypatch):
    built, calls = model(), []
    encode = built.encoder.encode
    monkeypatch.setattr(built.encoder, "encode", lambda *a: calls.append(a) or encode(*a))
    generate(built, [[BEGIN]] * 3, 6, CONTEXT, source=SOURCE, source_mask=MASK)
    assert len(calls) == 1
    beam_search(built, [[BEGIN]] * 3, 6, CONTEXT, 4, source=SOURCE, source_mask=MASK)
    assert len(calls) == 2


def greedily(built, row: int, count: int) -> list[int]:
    """Greedy tokens by the full forward pass of one row."""
    tokens = [BEGIN]
    while len(tokens) <= count and (len(tokens) == 1 or tokens[-1] != END):
        tokens.append(built(torch.tensor([tokens]), **alone(row))[0, -1].argmax().item())
    return tokens[1:]


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_greedy_decoding_of_a_padded_batch_is_that_of_each_row_alone(variant):
    built = model(variant)
    expected = [greedily(built, row, 7) for row in range(3)]
    source = {"source": SOURCE, "source_mask": MASK}
    greedy, prompts = Sampling(temperature=0), [[BEGIN]] * 3
    assert generate(built, prompts, 7, CONTEXT, greedy, stop=[END], **source) == expected
    found = beam_search(built, prompts, 7, CONTEXT, width=1, stop=[END], **source)
    assert [row[0].tokens for row in found] == expected


def sequences(count: int) -> list[list[int]]:
    """All sequences of up to `count` tokens that end at END, or are `count` long."""
    whole = [list(each) for each in itertools.product(range(VOCABULARY), repeat=count)]
    cut = {tuple(row[: row.index(END) + 1] if END in row else row) for row in whole}
    return [list(each) for each in cut]


def log_probability(built, row: int, prompt: list[int], sequence: list[int]) -> float:
    """By the full forward pass of one row."""
    logits = built(torch.tensor([prompt + sequence[:-1]]), **alone(row))[0, len(prompt) - 1 :]
    return logits.log_softmax(-1)[range(len(sequence)), sequence].sum().item()


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_the_widest_beam_is_exhaustive_search(variant):
    built, count, prompts = model(variant), 3, [[BEGIN], [BEGIN, 2, 1], [BEGIN, 3]]
    width = VOCABULARY**count
    found = beam_search(
        built, prompts, count, CONTEXT, width, best=width, stop=[END],
        source=SOURCE, source_mask=MASK,
    )  # fmt: skip
    for row, hypotheses in enumerate(found):
        scores = {tuple(s): log_probability(built, row, prompts[row], s) for s in sequences(count)}
        assert {tuple(each.tokens) for each in hypotheses} == scores.keys()
        expected = sorted(scores.values(), reverse=True)
        ours = [each.log_probability for each in hypotheses]
        assert ours == pytest.approx(expected, abs=1e-4)
        for each in hypotheses:
            assert each.log_probability == pytest.approx(scores[tuple(each.tokens)], abs=1e-4)


def narrow_search(built, row: int, count: int, width: int) -> list[list[int]]:
    """Beam search of one row with lists and the full forward pass."""
    beam = [([], 0.0)]
    for _ in range(count):
        candidates = [each for each in beam if each[0][-1:] == [END]]
        for tokens, score in beam:
            if tokens[-1:] != [END]:
                logits = built(torch.tensor([[BEGIN, *tokens]]), **alone(row))[0, -1]
                steps = enumerate(logits.log_softmax(-1).tolist())
                candidates += [([*tokens, token], score + step) for token, step in steps]
        beam = sorted(candidates, key=lambda each: -each[1])[:width]
    return [tokens for tokens, _ in beam]


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_a_narrow_beam_is_the_search_with_lists(variant, width):
    built, source = model(variant), {"source": SOURCE, "source_mask": MASK}
    prompts = [[BEGIN]] * 3
    expected = [narrow_search(built, row, 7, width) for row in range(3)]
    whole = beam_search(built, prompts, 7, CONTEXT, width, best=width, stop=[END], **source)
    assert [[each.tokens for each in row] for row in whole] == expected
    first = beam_search(built, prompts, 7, CONTEXT, width, stop=[END], **source)
    assert [[row[0].tokens] for row in first] == [row[:1] for row in expected]


@torch.inference_mode()
def test_the_model_runs_only_for_rows_that_have_not_ended(monkeypatch):
    built, sizes, width = model(), [], 2
    encode = built.encode
    monkeypatch.setattr(built, "encode", lambda x, **k: sizes.append(len(x)) or encode(x, **k))
    prompts, source = [[BEGIN]] * 3, {"source": SOURCE, "source_mask": MASK}
    found = beam_search(built, prompts, 7, CONTEXT, width, stop=[2], **source)
    lengths = [len(best.tokens) for (best,) in found]
    assert len(set(lengths)) == 3
    after = [width * sum(length > step for length in lengths) for step in range(1, max(lengths))]
    assert sizes == [3, *after]


@torch.inference_mode()
def test_a_beam_without_an_encoder_finds_the_likeliest_continuation():
    torch.manual_seed(0)
    gpt = transformer.gpt(Architecture(1, 2, 16, 32), VOCABULARY, CONTEXT).eval()
    with torch.no_grad():
        gpt.embedding.weight.mul_(40)
    ((best,),) = beam_search(gpt, [[1, 2]], 3, CONTEXT, VOCABULARY**3)
    whole = torch.tensor([[1, 2, *each] for each in itertools.product(range(VOCABULARY), repeat=3)])
    steps = gpt(whole[:, :-1]).log_softmax(-1)[:, 1:].gather(2, whole[:, 2:, None])
    assert best.tokens == whole[steps.sum((1, 2)).argmax(), 2:].tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": [[]]}, "a prompt is empty"),
        ({"width": 0}, "best must be from 1 to width, 0, not 1"),
        ({"best": 3}, "best must be from 1 to width, 2, not 3"),
        ({"count": 8}, "a prompt and 8 tokens are 9, above the context 8"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"prompts": [[BEGIN]] * 2}, "`source` has 1 rows and the inputs 2"),
        ({"source": SOURCE, "source_mask": MASK}, "`source` has 3 rows and the inputs 1"),
        ({"source": None}, "this model has an encoder: pass its input as `source`"),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    given = {"prompts": [[BEGIN]], "count": 2, "context": CONTEXT, "width": 2, **alone(0)}
    with pytest.raises(ValueError, match=message):
        beam_search(model(), **given | wrong)


@torch.inference_mode()
def test_a_cache_takes_its_source_once():
    built, cache, tokens = model(), KeyValueCache(1, CONTEXT), torch.tensor([[BEGIN]])
    built.encode(tokens, cache=cache, **alone(0))
    cache.advance(torch.ones(1, dtype=torch.long))
    with pytest.raises(ValueError, match="the cache has the encoder's output already"):
        built.encode(tokens, cache=cache, **alone(0))
    cache.clear()
    with pytest.raises(ValueError, match="pass its input as `source`"):
        built.encode(tokens, cache=cache)
