"""Which products oneDNN takes, and that they are the products."""

from itertools import product

import pytest
import torch

from pipeline.training import onednn
from pipeline.training.kernels import torch_kernel
from pipeline.training.numerics import AVX512_OF_ONEDNN, PRODUCTS

ROWS, INNER, COLUMNS = 130, 150, 140


@pytest.fixture
def taken(monkeypatch):
    """The shapes of the products that oneDNN takes."""
    shapes, linear = [], onednn.linear
    monkeypatch.setattr(
        onednn, "linear", lambda a, b, *rest: shapes.append(a.shape) or linear(a, b, *rest)
    )
    return shapes


def own_kernels(suits=lambda *shape: True):
    others = {name: torch_kernel(name) for name in ("mm", "mm.out", "addmm")}
    return onednn.kernels(suits, onednn.linear, others)


def factors(rows=ROWS, inner=INNER, columns=COLUMNS, dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    shapes = (columns,), (rows, inner), (columns, inner)  # of a linear layer
    bias, x, weight = (torch.randn(shape, generator=random, dtype=dtype) for shape in shapes)
    return bias, x, weight


def assert_product(made, a, b, bias=0.0):
    torch.testing.assert_close(made.double(), a.double() @ b.double() + bias, rtol=0, atol=1e-4)


def test_onednn_computes_outputs_and_gradients_of_inputs(taken):
    bias, x, weight = factors()
    d_out, own = torch.ones(ROWS, COLUMNS), own_kernels()
    assert_product(own["addmm"](bias, x, weight.T), x, weight.T, bias)
    assert_product(own["mm"](x, weight.T), x, weight.T)
    assert_product(own["mm"](d_out, weight), d_out, weight)
    out = torch.empty(ROWS, INNER)
    assert own["mm.out"](d_out, weight, out=out) is out
    assert_product(out, d_out, weight)
    assert taken == [(ROWS, INNER), (ROWS, INNER), (ROWS, COLUMNS), (ROWS, COLUMNS)]


def test_gradients_of_weights_are_left_to_torch(taken):
    _, x, _ = factors()
    d_out = torch.ones(ROWS, COLUMNS)
    assert_product(own_kernels()["mm"](d_out.T, x), d_out.T, x)
    assert not taken


def test_products_of_other_shapes_are_left_to_the_other_kernels(taken):
    bias, x, weight = factors()
    asked = []
    others = {name: lambda *_, n=name, **__: n for name in ("mm", "mm.out", "addmm")}
    own = onednn.kernels(lambda *shape: asked.append(shape), onednn.linear, others)
    out = torch.empty(ROWS, COLUMNS)
    made = own["mm"](x, weight.T), own["mm.out"](x, weight.T, out=out)
    assert (*made, own["addmm"](bias, x, weight.T)) == ("mm", "mm.out", "addmm")
    assert asked == [(ROWS, INNER, COLUMNS)] * 3
    assert not taken


def test_products_over_nothing_are_left_to_torch(taken):
    bias, x, weight = factors(inner=0)
    assert_product(own_kernels()["addmm"](bias, x, weight.T), x, weight.T, bias)
    assert not taken


def test_other_sums_and_other_numbers_are_left_to_torch(taken):
    bias, x, weight = factors()
    own = own_kernels()
    made = own["addmm"](bias, x, weight.T, beta=2, alpha=0.5)
    assert_product(made, x / 2, weight.T, 2 * bias)
    assert_product(own["addmm"](made, x, weight.T), x, weight.T, made)
    bias, x, weight = factors(dtype=torch.float64)
    assert_product(own["mm"](x, weight.T), x, weight.T)
    assert not taken


def test_unusual_biases_and_outputs_are_left_to_torch(taken):
    bias, x, weight = factors()
    own = own_kernels()
    assert_product(own["addmm"](bias[:1], x, weight.T), x, weight.T, bias[0])
    strided = torch.stack((bias, bias), dim=1)[:, 0]
    assert_product(own["addmm"](strided, x, weight.T), x, weight.T, bias)
    assert_product(own["mm.out"](x, weight.T, out=torch.empty(0)), x, weight.T)
    assert not taken


def test_strides_of_the_output_are_kept(taken):
    _, x, weight = factors()
    out = torch.empty(COLUMNS, ROWS).T
    assert_product(own_kernels()["mm.out"](x, weight.T, out=out), x, weight.T)
    assert taken


@pytest.mark.parametrize("gap", [0, 2])
def test_second_factors_with_gaps_or_overlaps_are_left_to_torch(gap, taken):
    _, x, _ = factors()
    strided = torch.randn(2 * INNER * COLUMNS)
    strided = strided.as_strided((INNER, COLUMNS), (gap * COLUMNS or 1, 1))
    assert_product(own_kernels()["mm"](x, strided), x, strided)
    assert not taken


@pytest.mark.parametrize("factor", [torch.ones(ROWS, COLUMNS), torch.ones(INNER, COLUMNS).double()])
def test_products_that_do_not_fit_have_torchs_errors(factor, taken):
    _, x, _ = factors()
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|same dtype"):
        own_kernels()["mm"](x, factor)
    assert not taken


@pytest.mark.parametrize(("inner", "columns"), [(INNER, COLUMNS), (COLUMNS, INNER)])
def test_onednn_computes_gradients_of_weights_where_it_is_asked(inner, columns, taken):
    _, x, _ = factors(inner=inner)
    d_out = torch.randn(ROWS, columns)
    others = {name: torch_kernel(name) for name in ("mm", "addmm_")}
    own = onednn.of_weights(lambda *shape: shape == (columns, ROWS, inner), others)
    made = own["mm"](d_out.T, x)
    assert_product(made, d_out.T, x)
    assert made.is_contiguous()  # as an optimizer expects it
    for beta in (0, 1):
        total = torch.ones(columns, inner)
        assert own["addmm_"](total, d_out.T, x, beta=beta) is total
        assert_product(total, d_out.T, x, beta)
    assert taken == [(min(inner, columns), ROWS)] * 3  # the narrower factor is copied


def test_other_products_than_gradients_of_weights_are_left_to_the_other_kernels(taken):
    _, x, weight = factors()
    d_out = torch.ones(ROWS, COLUMNS)
    others = {name: lambda *_, n=name, **__: n for name in ("mm", "addmm_")}
    own = onednn.of_weights(lambda *shape: True, others)
    assert own["mm"](x, weight.T) == own["mm"](d_out.T, x.T.contiguous().T) == "mm"
    assert own["mm"](d_out.T.double(), x.double()) == own["mm"](d_out.T, x[:1]) == "mm"
    total = torch.ones(COLUMNS, INNER)
    add = own["addmm_"]
    assert add(total, d_out.T, x, beta=2) == add(total, d_out.T, x, alpha=2) == "addmm_"
    assert add(total[:1], d_out.T, x) == add(total.double(), d_out.T, x) == "addmm_"
    assert not taken


@pytest.mark.parametrize(("first", "second"), product((False, True), repeat=2))
def test_torchs_products_by_onednn_are_those_of_float32(first, second):
    _, a, b = factors()
    a, b = (each.T.contiguous().T if one else each for each, one in ((a, first), (b.T, second)))
    assert_product(onednn.multiplying(torch_kernel("mm"))(a, b), a, b)
    total = torch.ones(ROWS, COLUMNS)
    onednn.multiplying(torch_kernel("addmm_"))(total, a, b)
    assert_product(total, a, b, 1)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        onednn.multiplying(torch_kernel("mm"))(a, a)
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


@pytest.mark.skipif(PRODUCTS != AVX512_OF_ONEDNN, reason="elsewhere it need not have AVX-512")
def test_onednn_sums_a_long_product_in_another_order_so_it_is_onednns():
    a, b = torch.randn(100, 800), torch.randn(800, 100)
    multiply = torch_kernel("mm")
    assert not torch.equal(onednn.multiplying(multiply)(a, b), multiply(a, b))
