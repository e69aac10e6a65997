"""The last block computes the tokens that are kept alone, and the result is the same."""

import pytest
import torch
from torch import nn

import transformer
from transformer import Architecture, TokensAt, Transformer
from transformer.patterns import Bidirectional
from transformer.selection import EVERY, FirstToken

B, T, VOCABULARY = 3, 6, 20
TOKENS = torch.arange(B * T).reshape(B, T) % VOCABULARY
SOURCE = TOKENS.flip(1)
PLACES = torch.tensor([0, 7, 8, 17])  # of four tokens; the second row has two
SELECTIONS = {"every": EVERY, "first": FirstToken(), "some": TokensAt(PLACES)}
VARIANTS = [
    {},
    {"norm_position": "post"},
    {"n_kv_head": 1, "positions": "rotary", "mlp": "gated", "layer_scale": 0.1},
]


def bert(architecture):
    return transformer.bert(architecture, VOCABULARY, T), {}


def encoder_decoder(architecture):
    model = transformer.encoder_decoder(architecture, VOCABULARY, VOCABULARY, T)
    return model, {"source": SOURCE, "source_mask": SOURCE > 0}


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("build", [bert, encoder_decoder])
@pytest.mark.parametrize("variant", VARIANTS)
def test_states_and_gradients_are_those_of_choosing_at_the_end(variant, build, selection):
    torch.manual_seed(0)
    model, given = build(Architecture(2, 2, 16, 32, **variant))
    model.double()
    keep = SELECTIONS[selection]
    found = model.encode(TOKENS, TOKENS > 0, keep=keep, **given)
    expected = keep(model.encode(TOKENS, TOKENS > 0, **given))
    torch.testing.assert_close(found, expected)
    sensitivity = torch.randn_like(found)
    weights = [w for name, w in model.named_parameters() if not name.startswith("head.")]
    ours, theirs = (
        torch.autograd.grad(states, weights, sensitivity, allow_unused=True)
        for states in (found, expected)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("build", [bert, encoder_decoder])
def test_the_last_mlp_sees_no_other_tokens(build):
    model, given = build(Architecture(2, 2, 16, 32))
    seen = []
    for block in model.blocks:
        block.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    model.encode(TOKENS, keep=TokensAt(PLACES), **given)
    assert seen == [(B, T, 16), (len(PLACES), 16)]


@pytest.mark.parametrize("pooling, tokens", [("cls", 1), ("mean", 4)])
def test_a_classifier_keeps_what_its_pooling_reads(pooling, tokens):
    architecture = Architecture(2, 2, 16, 32)
    model = transformer.vit(architecture, 8, 4, channels=1, classes=4, pooling=pooling)
    seen = []
    model.blocks[-1].mlp.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[1]))
    images = torch.randn(B, 1, 8, 8)
    logits = model(images)
    assert seen == [tokens]
    torch.testing.assert_close(logits, model.head(model.encode(images)))


def test_a_pooling_that_does_not_say_what_it_reads_gets_every_token():
    class Last(nn.Module):
        def forward(self, hidden):
            return hidden[:, -1]

    model = transformer.vit(Architecture(2, 2, 16, 32), 8, 4, channels=1, classes=4)
    model.head.pooling = Last()
    images = torch.randn(B, 1, 8, 8)
    torch.testing.assert_close(model(images), model.head(model.encode(images)))


def test_a_model_without_blocks_keeps_too():
    embedding = nn.Embedding(VOCABULARY, 4)
    nothing = Transformer(embedding, [], nn.Identity(), nn.Identity(), Bidirectional())
    assert torch.equal(nothing.encode(TOKENS, keep=FirstToken()), embedding(TOKENS[:, :1]))
