"""The kernels of portable numerics compute what torch's own do."""

import math
import sys
import threading
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from pipeline.training import numerics, onednn, portable


@pytest.fixture(autouse=True)
def chosen():
    numerics.use("portable")


@pytest.mark.parametrize("inner", [192, 193, 256, 383, 384, 400])
def test_products_in_blocks_are_the_products(inner):
    random = torch.Generator().manual_seed(inner)
    a, b, c = (torch.randn(shape, generator=random) for shape in ((3, 5, inner), (3, inner, 6), 6))

    def products(a, b, c):
        added = c.expand(3, 5, 6)
        return [
            a[0] @ b[0],
            a @ b,
            F.linear(a, b[0].T, c),
            torch.addmm(c, a[0], b[0], beta=2, alpha=3),
            added[0].clone().addmm_(a[0], b[0], alpha=0.5),
            torch.baddbmm(c, a, b, beta=0.5, alpha=-1),
            added.clone().baddbmm_(a, b),
            torch.mm(a[0], b[0], out=torch.empty(5, 6, dtype=a.dtype)),
            torch.bmm(a, b, out=torch.empty(3, 5, 6, dtype=a.dtype)),
        ]

    exact = products(a.double(), b.double(), c.double())
    for made, wanted in zip(products(a, b, c), exact, strict=True):
        torch.testing.assert_close(made.double(), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("inner", [193, 300, 384, 400, 577, 1000])
def test_long_products_are_summed_in_blocks_of_192(inner):
    """As AVX2 kernels sum them from 384 on, to the bit."""
    random = torch.Generator().manual_seed(inner)
    shapes = (40, inner), (inner, 50), (3, 40, inner), (3, inner, 50), (3, 40, 50)
    a, b, batch, other, c = (torch.randn(shape, generator=random) for shape in shapes)
    parts = [slice(start, start + 192) for start in range(0, inner, 192)]

    def in_blocks(c, a, b, **scales):
        first, *later = parts
        total = c.baddbmm(a[..., first], b[..., first, :], **scales)
        for part in later:
            total = total.baddbmm(a[..., part], b[..., part, :], alpha=scales["alpha"])
        return total

    zero = torch.zeros_like(c)
    assert torch.equal(batch @ other, in_blocks(zero, batch, other, beta=0, alpha=1))
    assert torch.equal(a @ b, in_blocks(zero[:1], a[None], b[None], beta=0, alpha=1)[0])
    if inner % 192 != 1:  # then the scale comes last
        scales = {"beta": -4.8, "alpha": 2.0}
        assert torch.equal(c.baddbmm(batch, other, **scales), in_blocks(c, batch, other, **scales))


@pytest.mark.parametrize("inner", [192, 193, 384, 576])
def test_products_that_do_not_fit_have_torchs_error(inner):
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.ones(20, inner) @ torch.ones(inner + 192, 20)


def test_factors_of_another_rank_have_torchs_error():
    batch, matrix, vector = torch.ones(2, 4, 4), torch.ones(4, 4), torch.ones(4)
    for multiply, a, b in (
        (torch.mm, batch, batch), (torch.mm, matrix, vector), (torch.bmm, matrix, matrix),
        (torch.bmm, batch, matrix), (torch.dot, matrix, matrix), (torch.dot, vector, vector[:1]),
    ):  # fmt: skip
        with pytest.raises(RuntimeError):
            multiply(a, b)


@pytest.mark.parametrize("rows", [40, 300])
def test_products_by_both_libraries_are_the_products(rows, monkeypatch):
    """As on an AMD whose oneDNN has AVX-512, whichever processor this is."""
    by_onednn = []
    monkeypatch.setattr(portable, "PRODUCTS", numerics.AVX512_OF_ONEDNN)
    monkeypatch.setattr(onednn, "multiplying", lambda kernel: counted(kernel, by_onednn))
    own = portable.kernels()
    a, b, c = torch.randn(rows, 700), torch.randn(700, 150), torch.randn(150)
    exact = a.double() @ b.double()
    for made, wanted in (
        (own["mm"](a, b), exact),
        (own["addmm"](c, a, b), exact + c),
        (own["addmm"](c, a, b, alpha=0.5), exact / 2 + c),
        (own["addmm_"](torch.full_like(a @ b, torch.nan), a, b, beta=0), exact),
    ):
        torch.testing.assert_close(made.double(), wanted, rtol=0, atol=1e-3)
    # Three blocks of 192 and one of 124; a scale is MKL's.
    assert len(by_onednn) == (3 * 4 if rows == 300 else 0)


def counted(kernel, calls):
    def function(*args, **options):
        calls.append(args)
        return kernel(*args, **options)

    return function


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_of_python_do_not_change_each_others_products(threads):
    torch.set_num_threads(threads)
    a, b, large = torch.randn(24, 800), torch.randn(800, 40), torch.randn(300, 300)
    wanted, done = a @ b, threading.Event()

    def others():
        while not done.is_set():
            F.gelu(large @ large)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=others)
    try:
        sys.setswitchinterval(1e-6)
        thread.start()
        found = [torch.equal(a @ b, wanted) for _ in range(500)]
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
        torch.set_num_threads(2)
    assert all(found)


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_batch_can_be_empty(batch):
    a, b = torch.ones(batch, 3, 5), torch.ones(batch, 5, 4)
    assert torch.equal(a @ b, torch.full((batch, 3, 4), 5.0))


@pytest.mark.parametrize("threads", [2, 3, 6, 8, 12])
def test_products_do_not_depend_on_the_number_of_threads(threads):
    """On an AMD, MKL gives each thread a part, and sums narrow parts in another order."""
    random = torch.Generator().manual_seed(0)
    sizes = (1, 3, 4, 7, 12, 17, 23, 30, 40, 99, 104)
    before = torch.get_num_threads()
    try:
        for rows, columns, batch in product(sizes, sizes, (1, 2, 3, 5)):
            a = torch.randn(batch, rows, 40, generator=random)
            b = torch.randn(batch, 40, columns, generator=random)
            found = []
            for count in (1, threads):
                torch.set_num_threads(count)
                found.append([a @ b, a[0] @ b[0], a[0] @ b[0, :, 0], a[0, 0] @ b[0]])
            for one, many in zip(*found, strict=True):
                assert torch.equal(one, many), (rows, columns, batch)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
def test_functions_are_accurate_to_the_last_digits(name):
    x = torch.cat((torch.rand(1000) * 20, torch.tensor([0.0, torch.inf])))
    function = getattr(torch, name)
    wanted = getattr(x.double(), name)()
    for made in (function(x), getattr(x.clone(), name + "_")(), function(x, out=x.clone())):
        torch.testing.assert_close(made.double(), wanted, rtol=2e-6, atol=3e-7)


def test_log_is_exact_beside_one_and_at_zero():
    values = [1 - 1e-10, 1 + 1e-10, 0.5, 1e-300, -0.0, -1.0, -0.1, -torch.inf, torch.inf, torch.nan]
    x = torch.tensor(values, dtype=torch.float64)
    wanted = [math.log(v) if v > 0 else -math.inf if v == 0 else math.nan for v in values]
    torch.testing.assert_close(x.log().tolist(), wanted, rtol=1e-14, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64])
def test_functions_of_other_types_are_torchs(name, dtype):
    x = torch.arange(1, 9).to(dtype)
    function = getattr(torch, name)
    wanted = function(x.double()).to(function(x).dtype)
    torch.testing.assert_close(function(x), wanted)
    if dtype == torch.int64:
        with pytest.raises(RuntimeError, match="can't be cast"):
            getattr(x, f"{name}_")()


@pytest.mark.parametrize("inner", [8, 192, 200, 384])
def test_wide_products_have_the_bits_of_onednn(inner):
    x, weight, bias = torch.randn(64, inner), torch.randn(4096, inner), torch.randn(4096)
    for given in (None, bias):
        exact = F.linear(x.double(), weight.double(), given if given is None else given.double())
        made = F.linear(x, weight, given)
        torch.testing.assert_close(made.double(), exact, rtol=0, atol=3e-4)
        assert torch.equal(made, onednn.linear(x, weight.T, given))


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "taken"),
    [(64, 384, 4096, 1), (63, 384, 4096, 0), (64, 385, 4096, 0), (64, 384, 4095, 0)],
)
def test_only_wide_products_are_onednns(rows, inner, columns, taken, monkeypatch):
    found = []
    monkeypatch.setattr(portable, "PRODUCTS", numerics.AVX2)
    monkeypatch.setattr(onednn, "linear", lambda a, b, *_: found.append(0) or a @ b)
    own = portable.kernels()
    x, weight = torch.randn(rows, inner), torch.randn(columns, inner)
    own["mm"](x, weight.T), own["addmm"](torch.randn(columns), x, weight.T)
    assert len(found) == 2 * taken
