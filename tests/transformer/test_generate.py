"""Generation: greedy is the argmax, sampling follows its generator and the model's chances."""

import torch

import transformer
from transformer import Architecture
from transformer.generate import generate

CONTEXT = 6


def model():
    torch.manual_seed(0)
    built = transformer.gpt(Architecture(1, 2, 8, 16), 9, CONTEXT).eval()
    with torch.no_grad():
        built.embedding.weight.mul_(50)  # far from uniform
    return built


def test_greedy_is_the_argmax_of_the_last_tokens():
    gpt, tokens = model(), torch.randint(9, (2, 4))
    expected = tokens
    for _ in range(5):
        best = gpt(expected[:, -CONTEXT:])[:, -1].argmax(-1, keepdim=True)
        expected = torch.cat([expected, best], dim=1)
    assert torch.equal(generate(gpt, tokens, 5, CONTEXT, temperature=0), expected)


def test_the_same_generator_draws_the_same():
    gpt, tokens = model(), torch.randint(9, (1, 3))
    first, second = (
        generate(gpt, tokens, 20, CONTEXT, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(first, second)


def test_samples_follow_the_models_chances():
    gpt, tokens = model(), torch.randint(9, (1, 3))
    draws = generate(gpt, tokens.expand(4000, -1), 1, CONTEXT, 2.0)[:, -1]
    found = draws.bincount(minlength=9) / 4000
    expected = (gpt(tokens)[0, -1] / 2.0).softmax(-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.03)
