"""Blocks: equal to torch's nn.TransformerEncoderLayer with the same weights."""

import pytest
import torch
from torch import nn

import transformer
from transformer import Architecture
from transformer.layers import GatedMLP
from transformer.patterns import BlockInputs


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_block_equals_torch(norm, activation):
    torch.manual_seed(0)
    architecture = Architecture(1, 2, 8, 16, norm_position=norm, activation=activation)
    ours = transformer.bert(architecture, vocabulary_size=5, length=6).double().blocks[0]
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, activation=activation, batch_first=True, norm_first=norm == "pre"
    ).double()
    pairs = {
        theirs.self_attn.out_proj: ours.attention.out,
        theirs.linear1: ours.mlp.up,
        theirs.linear2: ours.mlp.down,
        theirs.norm1: ours.attention_norm,
        theirs.norm2: ours.mlp_norm,
    }
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter))
        theirs.self_attn.in_proj_weight.copy_(ours.attention.qkv.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.attention.qkv.bias)
        for target, source in pairs.items():
            target.load_state_dict(source.state_dict())
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x, BlockInputs()), theirs(x))


def test_gated_mlp_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    mlp, x = GatedMLP(6, 10, nn.SiLU(), bias=False).double(), torch.randn(3, 6).double()
    gate, up, down = (getattr(mlp, name).weight for name in ("gate", "up", "down"))
    z = gate @ x.T
    torch.testing.assert_close(mlp(x), (down @ (z / (1 + (-z).exp()) * (up @ x.T))).T)


def test_layer_scale_scales_each_branch():
    torch.manual_seed(0)
    block = transformer.bert(Architecture(1, 2, 8, 16, layer_scale=1e-12), 5, 6).blocks[0]
    x = torch.randn(2, 6, 8)
    torch.testing.assert_close(block(x, BlockInputs()), x)
    with torch.no_grad():
        block.attention_scale.weight.fill_(2.0)
        expected = x + 2 * block.attention(block.attention_norm(x), BlockInputs())
    torch.testing.assert_close(block(x, BlockInputs()), expected)
