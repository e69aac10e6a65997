"""Parameters and FLOPs equal counts by hand."""

import torch

import transformer
from transformer import Architecture, TokensAt, flops_per_step, parameter_count

ARCHITECTURE = Architecture(n_layer=2, n_head=2, d_model=8, d_mlp=16)
BLOCK = (8 * 24 + 24) + (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * (8 + 8)


def test_parameters_equal_a_hand_count():
    vocabulary, length = 30, 10
    body = 2 * BLOCK + 2 * 8 + vocabulary * 8 + length * 8
    tied = transformer.gpt(ARCHITECTURE, vocabulary, length)
    assert parameter_count(tied) == body
    untied = transformer.gpt(ARCHITECTURE, vocabulary, length, tie_embeddings=False)
    assert parameter_count(untied) == body + vocabulary * 8
    bert = transformer.bert(ARCHITECTURE, vocabulary, length)
    assert parameter_count(bert) == body + vocabulary  # the bias of its head


def test_parameters_of_a_vit_equal_a_hand_count():
    vit = transformer.vit(ARCHITECTURE, 8, 4, channels=3, classes=5)
    patches = 3 * 4 * 4 * 8 + 8
    assert parameter_count(vit) == 2 * BLOCK + 16 + patches + 8 + 5 * 8 + (8 * 5 + 5)


def test_a_convolutional_stem_is_counted_as_the_convolutions_it_is():
    batch = 3
    linear, stem = (
        transformer.vit(ARCHITECTURE, 16, 4, channels=3, classes=5, stem=name)
        for name in ("linear", "convolutional")
    )
    # Outputs of 8 x 8, 4 x 4 and 4 x 4; the first layer's input, the pixels, has no gradient.
    first, second, last = 64 * 9 * 3 * 4, 16 * 9 * 4 * 8, 16 * 8 * 8
    patches = 16 * (4 * 4 * 3) * 8
    images = torch.zeros(batch, 3, 16, 16)
    difference = flops_per_step(stem, images) - flops_per_step(linear, images)
    assert difference == 2 * batch * (2 * first + 3 * second + 3 * last - 2 * patches)
    # Norms have a weight and a bias; only the last convolution has a bias.
    weights = 3 * 9 * 4 + 2 * 4 + 4 * 9 * 8 + 2 * 8 + 8 * 8 + 8
    assert parameter_count(stem) - parameter_count(linear) == weights - (3 * 4 * 4 * 8 + 8)


def test_flops_equal_a_hand_count():
    batch, length, vocabulary, masked = 3, 10, 30, 4
    model = transformer.bert(ARCHITECTURE, vocabulary, length)
    tokens = torch.zeros(batch, length, dtype=torch.long)
    qkv, rest = 8 * 24, 8 * 8 + 8 * 16 + 16 * 8
    # Both blocks; the rest of the last one sees the masked tokens alone.
    forward = 2 * (batch * length * (2 * qkv + rest) + masked * rest)
    attention = 2 * 2 * (2 * batch * length * length * 8)  # two products, two blocks
    head = 2 * masked * 8 * vocabulary
    # The backward pass has two products for each: gradients of the input and of the weight.
    expected = 3 * (forward + attention + head)
    assert flops_per_step(model, tokens, TokensAt(torch.arange(masked))) == expected


def test_counting_leaves_the_model_alone():
    model = transformer.gpt(ARCHITECTURE, 30, 10).eval()
    before = [p.clone() for p in model.parameters()]
    flops_per_step(model, torch.zeros(1, 10, dtype=torch.long))
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    torch.testing.assert_close(list(model.parameters()), before)
