"""Attention as products computes what its definition says, and what it cannot take is left."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.training import composed_attention, numerics


@pytest.fixture(autouse=True)
def portable():
    numerics.use("portable")


@pytest.mark.parametrize("mask", ["none", "causal", "padding"])
def test_attention_and_its_gradients_are_those_of_the_definition(mask):
    random = torch.Generator().manual_seed(0)
    q, k, v, d_out = (torch.randn(2, 3, 11, 8, generator=random) for _ in range(4))
    allowed = torch.ones(11, 11, dtype=torch.bool)
    given: dict = {}
    if mask == "causal":
        allowed, given = allowed.tril(), {"is_causal": True}
    if mask == "padding":
        allowed = torch.arange(11) < torch.tensor([11, 4])[:, None, None, None]  # (B, 1, 1, S)
        given = {"attn_mask": allowed}

    def results(attention):
        inputs = [each.clone().requires_grad_() for each in (q, k, v)]
        out = attention(*inputs)
        return [out, *torch.autograd.grad(out, inputs, d_out)]

    def defined(q, k, v):
        scores = (q @ k.mT / 8**0.5).masked_fill(~allowed, -torch.inf)
        return scores.softmax(-1) @ v

    made = results(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **given))
    for ours, wanted in zip(made, results(defined), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", [None, (torch.arange(11) < 7)[None]])
def test_kept_weights_and_those_computed_again_give_the_same_gradients(mask, monkeypatch):
    q, k, v, d_out = (torch.randn(2, 3, 11, 8) for _ in range(4))

    def gradients():
        inputs = [each.clone().requires_grad_() for each in (q, k, v)]
        out = F.scaled_dot_product_attention(*inputs, attn_mask=mask)
        return torch.autograd.grad(out, inputs, d_out)

    kept = gradients()
    monkeypatch.setattr(composed_attention, "KEPT", 0)
    assert all(map(torch.equal, kept, gradients()))


def test_the_backward_pass_takes_a_copy_of_the_second_output():
    q, d_out = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 5, 8)
    forward = getattr(torch.ops.aten, composed_attention.FUSED)
    backward = getattr(torch.ops.aten, f"{composed_attention.FUSED}_backward")
    out, kept = forward(q, q, q)
    wanted = backward(d_out, q, q, q, out, kept, 0.0, False)
    made = backward(d_out, q, q, q, out, kept.clone(), 0.0, False)
    assert all(map(torch.equal, made, wanted))


def test_rows_without_anything_to_attend_to_are_zero_and_have_no_gradient():
    q = torch.ones(1, 1, 2, 4, requires_grad=True)
    nothing = torch.tensor([[True, True], [False, False]])
    out = F.scaled_dot_product_attention(
        q, torch.randn(1, 1, 2, 4), torch.ones(1, 1, 2, 4), nothing
    )
    assert out[0, 0].tolist() == [[1.0] * 4, [0.0] * 4]
    (d_q,) = torch.autograd.grad(out.square().sum(), q)
    assert d_q[0, 0, 1].tolist() == [0.0] * 4


@pytest.mark.parametrize("heads_first", [True, False])
def test_the_output_has_the_layout_of_the_queries(heads_first):
    q = torch.randn(2, 3, 5, 8) if heads_first else torch.randn(2, 5, 3, 8).transpose(1, 2)
    assert F.scaled_dot_product_attention(q, q, q).stride() == q.stride()


def test_a_scale_of_zero_weighs_all_alike():
    q = torch.randn(1, 2, 5, 8)
    made = F.scaled_dot_product_attention(q, q, q, scale=0.0)
    torch.testing.assert_close(made, q.mean(2, keepdim=True).expand_as(q))


def test_a_backward_pass_within_autocast_keeps_float32():
    q, k, v, d_out = (torch.randn(2, 3, 5, 8) for _ in range(4))
    q.requires_grad_()
    (wanted,) = torch.autograd.grad(F.scaled_dot_product_attention(q, k, v), q, d_out)
    out = F.scaled_dot_product_attention(q, k, v)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (made,) = torch.autograd.grad(out, q, d_out)
    assert torch.equal(made, wanted)


def test_grouped_heads_are_left_to_torch():
    q, k = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8)
    grouped = F.scaled_dot_product_attention(q, k, k, enable_gqa=True)
    repeated = k.repeat_interleave(2, dim=1)
    wanted = F.scaled_dot_product_attention(q, repeated, repeated)
    torch.testing.assert_close(grouped, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("heads", "keys", "dtype", "taken"),
    [
        (2, 8, torch.float32, "composed"),
        (2, 9, torch.float32, "fused"),
        (1, 8, torch.float32, "fused"),
        (2, 8, torch.float64, "fused"),
    ],
)
def test_long_grouped_and_other_attention_is_left_to_the_fused_kernel(
    heads, keys, dtype, taken, monkeypatch
):
    monkeypatch.setattr(composed_attention, "torch_kernel", lambda name: lambda *args: "fused")
    monkeypatch.setattr(composed_attention, "attention", lambda *args: "composed")
    kernel = composed_attention.kernels(longest=8)[composed_attention.FUSED]
    q, k = torch.zeros(1, 2, 4, 2, dtype=dtype), torch.zeros(1, heads, keys, 2, dtype=dtype)
    assert kernel(q, k, k) == taken
