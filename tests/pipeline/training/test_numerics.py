"""Portable numerics: the same bits on every processor, and no other results than torch's."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import UserError
from pipeline.training import numerics
from tests.bits import EXPECTED
from tests.conftest import ROOT

EMULATOR = shutil.which("qemu-x86_64")


@pytest.fixture(autouse=True)
def portable():
    numerics.use("portable")


def trained_on(*emulator: str) -> dict[str, dict[str, str]]:
    command = [*emulator, sys.executable, "-m", "tests.bits"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_trainings_on_this_processor_have_the_bits_of_all():
    assert trained_on() == json.loads(EXPECTED.read_text())


@pytest.mark.long
@pytest.mark.skipif(not EMULATOR, reason="needs qemu-user, which emulates other processors")
@pytest.mark.parametrize("processor", ["Haswell", "EPYC"])  # of Intel and of AMD
def test_trainings_on_emulated_processors_have_the_same_bits(processor):
    assert trained_on(EMULATOR, "-cpu", processor) == json.loads(EXPECTED.read_text())


@pytest.mark.parametrize("inner", [192, 193, 256, 383, 384])
def test_products_in_two_parts_are_the_products(inner):
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


def test_rows_without_anything_to_attend_to_are_zero():
    q = torch.ones(1, 1, 2, 4)
    nothing = torch.tensor([[True, True], [False, False]])
    out = F.scaled_dot_product_attention(q, q, q, attn_mask=nothing)
    assert out[0, 0].tolist() == [[1.0] * 4, [0.0] * 4]


@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
def test_functions_are_accurate_to_the_last_digits(name):
    x = torch.cat((torch.rand(1000) * 20, torch.tensor([0.0, torch.inf])))
    function = getattr(torch, name)
    wanted = getattr(x.double(), name)()
    for made in (function(x), getattr(x.clone(), name + "_")(), function(x, out=x.clone())):
        torch.testing.assert_close(made.double(), wanted, rtol=2e-6, atol=3e-7)


def python(code: str, **environment: str) -> str:
    """What a new process prints, which has none of the variables of portable numerics."""
    own = {key: value for key, value in os.environ.items() if key not in numerics.PORTABLE}
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=ROOT, env=own | environment, text=True)


def test_fast_numerics_leave_the_choice_to_torch():
    found = python(
        "from pipeline.training import numerics; numerics.choose('fast'); numerics.use('fast'); "
        "import os; print([key for key in numerics.PORTABLE if key in os.environ])"
    )
    assert found == "[]\n"


def test_portable_numerics_are_refused_after_torch_was_loaded():
    found = python(
        "import torch\nfrom pipeline.training import numerics\n"
        "try: numerics.use('portable')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    assert found.startswith("UserError params.yaml: numerics: portable must be chosen before torch")


def test_portable_numerics_are_refused_on_a_processor_without_avx2(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: False)
    with pytest.raises(UserError, match=r"needs an x86-64 processor with AVX2.*; take fast"):
        numerics.use("portable")


def test_compiled_code_of_the_other_numerics_is_not_taken():
    code = (
        "import sys; from pipeline.training import numerics; numerics.choose(sys.argv[1])\n"
        "from torch._inductor.runtime.cache_dir_utils import cache_dir; print(cache_dir())"
    )
    own = {k: v for k, v in os.environ.items() if k not in (*numerics.PORTABLE, numerics.COMPILED)}
    found = [
        subprocess.check_output([sys.executable, "-c", code, kind], cwd=ROOT, env=own, text=True)
        for kind in ("fast", "portable")
    ]
    assert found[1].strip() == f"{found[0].strip()}-portable"


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


def test_grouped_heads_are_left_to_torch():
    q, k = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8)
    grouped = F.scaled_dot_product_attention(q, k, k, enable_gqa=True)
    repeated = k.repeat_interleave(2, dim=1)
    wanted = F.scaled_dot_product_attention(q, repeated, repeated)
    torch.testing.assert_close(grouped, wanted, rtol=1e-5, atol=1e-6)
