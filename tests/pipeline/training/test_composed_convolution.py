"""Convolution as products computes what its definition says, and what it cannot take is left."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.training import numerics


@pytest.fixture(autouse=True)
def portable():
    numerics.use("portable")


def results(x, weight, bias, dtype, **options):
    """The output of a convolution, and the gradients of its inputs."""
    inputs = [each.to(dtype).requires_grad_() for each in (x, weight, bias) if each is not None]
    out = F.conv2d(*inputs, **options)
    d_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return [out, *torch.autograd.grad(out, inputs, d_out)]


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3), {"stride": 2, "padding": 1}),
        ((1, 1), {}),
        ((2, 3), {"stride": (1, 2), "padding": (0, 1)}),
        ((3, 2), {"dilation": (2, 1)}),
        ((4, 4), {"stride": 4}),
        ((3, 3), {"padding": "valid"}),
        ((3, 3), {"padding": "same"}),
        ((3, 3), {"stride": [2], "padding": [1]}),
    ],
)
@pytest.mark.parametrize("bias", [None, torch.randn(5)])
def test_convolution_and_its_gradients_are_those_of_float64(kernel, options, bias):
    """Torch's kernel computes the latter, which shares no code with ours."""
    x, weight = torch.randn(3, 2, 9, 11), torch.randn(5, 2, *kernel)
    made = results(x, weight, bias, torch.float32, **options)
    wanted = results(x, weight, bias, torch.float64, **options)
    for ours, exact in zip(made, wanted, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-4)


def test_it_is_the_product_of_each_patch_and_the_weights():
    x, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 4, 4)
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4)  # (B, channels, rows, columns, height, width)
    products = (patches.unsqueeze(1) * weight[:, :, None, None]).sum((2, 5, 6))
    torch.testing.assert_close(F.conv2d(x, weight, stride=4), products, rtol=1e-5, atol=1e-4)


def test_gradients_that_nobody_wants_are_not_computed(monkeypatch):
    x, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3, requires_grad=True)
    monkeypatch.setattr(F, "fold", None)  # it makes the gradient of images
    F.conv2d(x, weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize(
    ("function", "x", "weight", "options"),
    [
        (F.conv2d, (2, 4, 8, 8), (4, 2, 3, 3), {"groups": 2}),
        (F.conv_transpose2d, (2, 4, 8, 8), (4, 2, 3, 3), {"stride": 2}),
        (F.conv1d, (2, 4, 8), (4, 4, 3), {}),
        (F.conv2d, (4, 8, 8), (4, 4, 3, 3), {}),  # without a batch: torch adds one
        (F.conv2d, (0, 4, 8, 8), (4, 4, 3, 3), {}),
    ],
)
def test_all_else_is_torchs(function, x, weight, options):
    x, weight = torch.randn(x, requires_grad=True), torch.randn(weight, requires_grad=True)
    made = function(x, weight, **options)
    wanted = function(x.double(), weight.double(), **options)
    torch.testing.assert_close(made.double(), wanted, rtol=1e-5, atol=1e-4)
    gradients = torch.autograd.grad(made.sum(), (x, weight))
    for ours, exact in zip(gradients, torch.autograd.grad(wanted.sum(), (x, weight)), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-4)


def test_what_does_not_fit_has_torchs_error():
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        F.conv2d(torch.randn(2, 4, 8, 8), torch.randn(4, 3, 3, 3))
    with pytest.raises(RuntimeError, match=r"bias to be 1-dimensional with 4 elements"):
        F.conv2d(torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3), torch.randn(1))
    with pytest.raises(RuntimeError, match=r"kernel_size=\(3, 3\).*must be at least one"):
        F.conv2d(torch.randn(2, 3, 2, 2), torch.randn(4, 3, 3, 3))
