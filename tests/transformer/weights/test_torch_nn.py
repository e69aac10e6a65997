"""torch's own transformers: equal outputs and gradients."""

import pytest
import torch
from torch import nn

from tests.transformer.weights.parity import errors
from tests.transformer.weights.torch_nn_cases import CASES, LAYER, encoder
from transformer.weights import from_torch


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found


def test_what_ours_has_not_is_refused_by_name():
    with pytest.raises(ValueError, match=r"layers\.0\.activation: the activation tanh"):
        from_torch(encoder(activation=torch.tanh)())
    with pytest.raises(ValueError, match="not TransformerEncoderLayer"):
        from_torch(nn.TransformerEncoderLayer(**LAYER))
    model = encoder()()
    model.layers[1].self_attn = nn.MultiheadAttention(30, 3, kdim=7, batch_first=True)
    with pytest.raises(ValueError, match=r"layers\.1\.self_attn: kdim or vdim"):
        from_torch(model)
    with pytest.raises(ValueError, match=r"^encoder: Identity in place of TransformerEncoder is"):
        from_torch(nn.Transformer(30, 3, 1, 1, custom_encoder=nn.Identity()))


def test_a_layer_with_a_forward_of_its_own_is_refused():
    class Doubled(nn.TransformerEncoderLayer):
        def forward(self, *inputs, **given):
            return 2 * super().forward(*inputs, **given)

    model = encoder()()
    model.layers[1] = Doubled(**LAYER)
    with pytest.raises(ValueError, match=r"^layers\.1: Doubled in place of TransformerEncoderLa"):
        from_torch(model)


def test_a_layer_in_two_places_is_refused():
    model = encoder()()
    model.layers[1] = model.layers[0]
    with pytest.raises(ValueError, match=r"layers\.1\..*: a parameter shared with layers\.0\."):
        from_torch(model)


def test_dropout_is_taken_along():
    block = from_torch(encoder(dropout=0.3)()).blocks[0]
    assert (block.attention.dropout, block.dropout.p, block.mlp.activation[1].p) == (0.3, 0.3, 0.3)
