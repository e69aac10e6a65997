"""The chunked cross entropy equals the plain one, in value and in every gradient."""

import math

import pytest
import torch
import torch.nn.functional as F

from transformer.losses import ROWS, Candidates, linear_cross_entropy


def test_no_labels_have_no_mean_and_no_gradient():
    hidden, weight = torch.randn(0, 6, requires_grad=True), torch.randn(11, 6, requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, None, torch.empty(0, dtype=torch.int64))
    loss.backward()
    assert loss.isnan() and not weight.grad.any()


@pytest.mark.parametrize("count", [1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_loss_and_its_gradients_equal_torchs(count, has_bias, share):
    torch.manual_seed(0)
    hidden = torch.randn(count, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(11, dtype=torch.float64, requires_grad=True) if has_bias else None
    labels = torch.randint(11, (count,))
    spread = torch.rand(11, dtype=torch.float64)
    spread = share * spread / spread.sum()
    inputs = [t for t in (hidden, weight, bias) if t is not None]

    ours = linear_cross_entropy(hidden, weight, bias, labels, spread if share else None)
    target = (1 - share) * F.one_hot(labels, 11).double() + spread
    plain = F.cross_entropy(F.linear(hidden, weight, bias), target)
    torch.testing.assert_close(ours, plain)
    # Scaled, as in gradient accumulation.
    gradients = torch.autograd.grad(0.3 * ours, inputs)
    torch.testing.assert_close(gradients, torch.autograd.grad(0.3 * plain, inputs))
    with torch.no_grad():
        without = linear_cross_entropy(hidden, weight, bias, labels, spread if share else None)
    torch.testing.assert_close(without, plain)


def test_mixed_precision_keeps_the_loss_in_full_precision():
    torch.manual_seed(0)
    hidden, weight = torch.randn(5, 8), torch.randn(11, 8, requires_grad=True)
    labels = torch.randint(11, (5,))
    plain = F.cross_entropy(hidden @ weight.T, labels)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = linear_cross_entropy(hidden, weight, None, labels)
    torch.testing.assert_close(mixed, plain)
    (gradient,) = torch.autograd.grad(mixed, weight)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain, weight)[0])


@pytest.mark.parametrize("logit", [20.0, 43.0, 44.0, 52.0, 1e4])
def test_a_label_without_probability_has_a_finite_loss(logit):
    """Its probability of exp(-2 * logit) has fewer digits than usual, or is zero."""
    hidden = torch.tensor([[logit], [1.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]])
    loss = linear_cross_entropy(hidden, weight, None, torch.tensor([1, 1]))
    assert loss.item() == pytest.approx((2 * logit + math.log1p(math.exp(2))) / 2, rel=1e-6)


def test_all_tokens_as_candidates_give_the_whole_loss_in_any_order():
    torch.manual_seed(0)
    hidden = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(11, dtype=torch.float64, requires_grad=True)
    labels, smoothing = torch.randint(11, (7,)), torch.full((11,), 0.01, dtype=torch.float64)
    ids = torch.randperm(11)
    everything = Candidates(ids, ids.argsort(), torch.zeros(11, dtype=torch.float64))
    whole = linear_cross_entropy(hidden, weight, bias, labels, smoothing)
    sampled = linear_cross_entropy(hidden, weight, bias, labels, smoothing, everything)
    torch.testing.assert_close(sampled, whole)
    inputs = (hidden, weight, bias)
    gradients = torch.autograd.grad(sampled, inputs)
    torch.testing.assert_close(gradients, torch.autograd.grad(whole, inputs))


def test_a_candidate_counts_as_many_times_as_tokens_that_it_stands_for():
    """Of five tokens with the same logit, one stands for the other four."""
    hidden = torch.tensor([[1.0]], dtype=torch.float64)
    weight = torch.tensor([[2.0]] + 5 * [[0.3]], dtype=torch.float64)
    smoothing = torch.tensor([0.0] + 5 * [0.02], dtype=torch.float64)
    counts = torch.tensor([1.0, 5.0], dtype=torch.float64)
    few = Candidates(torch.tensor([0, 3]), torch.tensor([0, 9, 9, 1, 9, 9]), counts.log())
    label = torch.tensor([0])
    for spread in (None, smoothing):
        torch.testing.assert_close(
            linear_cross_entropy(hidden, weight, None, label, spread, few),
            linear_cross_entropy(hidden, weight, None, label, spread),
        )
