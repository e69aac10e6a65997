"""Attention equals torch's module, and ignores masked tokens."""

import torch
from torch import nn

from transformer.attention import SelfAttention
from transformer.patterns import Bidirectional, BlockInputs, Causal

B, T, D, HEADS = 3, 7, 12, 3


def attention() -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(D, HEADS, dropout=0.0, qk_norm=nn.Identity()).double()


def torch_attention(ours: SelfAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    return theirs


def test_bidirectional_equals_torch():
    ours = attention()
    x = torch.randn(B, T, D, dtype=torch.float64)
    expected, _ = torch_attention(ours)(x, x, x)
    torch.testing.assert_close(ours(x, BlockInputs(Bidirectional()(T, None))), expected)


def test_causal_equals_torch():
    ours = attention()
    x = torch.randn(B, T, D, dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64)
    expected, _ = torch_attention(ours)(x, x, x, attn_mask=mask)
    torch.testing.assert_close(ours(x, BlockInputs(Causal()(T, None))), expected)


def test_padding_changes_nothing_for_the_real_tokens():
    ours = attention()
    x = torch.randn(B, T, D, dtype=torch.float64)
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[:, 4:] = False
    for pattern in (Bidirectional(), Causal()):
        padded = ours(x, BlockInputs(pattern(T, mask)))[:, :4]
        torch.testing.assert_close(padded, ours(x[:, :4], BlockInputs(pattern(4, None))))


def test_padding_on_the_left_gives_numbers():
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[:, :2] = False
    out = attention()(torch.randn(B, T, D, dtype=torch.float64), BlockInputs(Causal()(T, mask)))
    assert out.isfinite().all()


def test_causal_does_not_see_the_future():
    ours = attention()
    x = torch.randn(B, T, D, dtype=torch.float64)
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = (ours(each, BlockInputs(Causal()(T, None))) for each in (x, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_qk_norm_makes_scores_independent_of_the_input_scale():
    torch.manual_seed(0)
    ours = SelfAttention(D, HEADS, 0.0, nn.RMSNorm(D // HEADS, elementwise_affine=False)).double()
    nn.init.zeros_(ours.qkv.bias)
    nn.init.zeros_(ours.out.bias)
    x = torch.randn(B, T, D, dtype=torch.float64)
    # Scores do not change and values are scaled, so the output is only scaled. (RMSNorm's epsilon
    # causes a small error.)
    out, scaled = (ours(each, BlockInputs()) for each in (x, 10 * x))
    torch.testing.assert_close(scaled, 10 * out, rtol=1e-6, atol=1e-9)
