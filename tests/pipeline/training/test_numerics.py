"""The choice of numerics, and the same bits on every processor with portable ones."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from pipeline.errors import UserError
from pipeline.training import numerics
from tests.bits import EXPECTED
from tests.conftest import ROOT

EMULATOR = shutil.which("qemu-x86_64")


@pytest.fixture(autouse=True)
def portable():
    numerics.use("portable")


def trained_on(*emulator: str, products: dict[str, str]) -> dict[str, dict[str, str]]:
    command = [*emulator, sys.executable, "-m", "tests.bits"]
    # An emulated thread that waits would take the time of one that computes.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"} | products
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_trainings_on_this_processor_have_the_bits_of_all():
    assert trained_on(products=numerics.PRODUCTS) == json.loads(EXPECTED.read_text())


@pytest.mark.skipif(numerics.PRODUCTS == numerics.AVX2, reason="this processor has no others")
def test_trainings_with_the_kernels_of_other_processors_have_the_same_bits():
    assert trained_on(products=numerics.AVX2) == json.loads(EXPECTED.read_text())


HASHES = """
import hashlib, sys
from pipeline.training import numerics
numerics.choose("portable")
import torch
import torch.nn.functional as F
numerics.use("portable")
for threads in (1, 2, 3):
    torch.set_num_threads(threads)
    random = torch.Generator().manual_seed(0)
    for rows, inner, columns in (
        (2560, 128, 512), (500, 192, 33), (32, 700, 128), (1000, 385, 200), (512, 100, 5000),
        (512, 500, 4096), (128, 5000, 256), (64, 300, 64), (40, 30, 20),
    ):
        a = torch.randn(rows, inner, generator=random)
        b = torch.randn(inner, columns, generator=random)
        c = torch.randn(rows, columns, generator=random)
        for x, y in ((a, b), (a, b.T.contiguous().T), (a.T.contiguous().T, b)):
            made = [
                x @ y, torch.addmm(c[0], x, y), c.clone().addmm_(x, y),
                torch.full_like(c, torch.nan).addmm_(x, y, beta=0),
                torch.addmm(c, x, y, beta=-4.8, alpha=2.0), torch.mm(x, y, out=c.clone()),
                F.gelu(x @ y), torch.ops.aten.gelu_backward(c, x @ y),
            ]
            print(*(hashlib.sha256(each.numpy().tobytes()).hexdigest() for each in made))
"""


@pytest.mark.skipif(numerics.PRODUCTS == numerics.AVX2, reason="this processor has no others")
def test_products_with_the_kernels_of_other_processors_have_the_same_bits():
    assert python(HASHES) == python(HASHES, **numerics.AVX2)


@pytest.mark.long
@pytest.mark.skipif(not EMULATOR, reason="needs qemu-user, which emulates other processors")
@pytest.mark.parametrize("processor", ["Haswell", "EPYC"])  # of Intel and of AMD
def test_trainings_on_emulated_processors_have_the_same_bits(processor):
    found = trained_on(EMULATOR, "-cpu", processor, products=numerics.AVX2)
    assert found == json.loads(EXPECTED.read_text())


ALL = "avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "asked", "expected"),
    [
        ("GenuineIntel", "6", f"avx2 {ALL}", {}, numerics.AVX512_OF_MKL),
        ("GenuineIntel", "6", f"avx2 {ALL}", numerics.AVX2, numerics.AVX2),
        ("GenuineIntel", "6", f"avx2 {ALL}", numerics.AVX512_OF_MKL, numerics.AVX512_OF_MKL),
        ("GenuineIntel", "6", f"avx2 {ALL}", {"MKL_CBWR": "COMPATIBLE"}, numerics.AVX512_OF_MKL),
        ("GenuineIntel", "6", "avx2 avx512f avx512cd avx512er", {}, numerics.AVX2),  # a Xeon Phi
        ("AuthenticAMD", "25", f"avx2 {ALL}", {}, numerics.AVX2),  # Zen 4
        ("AuthenticAMD", "26", f"avx2 {ALL}", {}, numerics.AVX512_OF_ONEDNN),
        ("AuthenticAMD", "26", f"avx2 {ALL}", numerics.AVX2, numerics.AVX2),
        ("AuthenticAMD", "26", f"avx2 {ALL}", numerics.AVX512_OF_ONEDNN, numerics.AVX512_OF_ONEDNN),
        ("AuthenticAMD", "26", "avx2", {}, numerics.AVX2),
        ("", "", "", {}, numerics.AVX2),
    ],
)
def test_products_take_avx512_where_it_pays_and_the_environment_may_ask_for_avx2(
    vendor, family, flags, asked, expected, monkeypatch
):
    cpuinfo = {"vendor_id": vendor, "cpu family": family, "flags": flags}
    monkeypatch.setattr(numerics, "cpuinfo", cpuinfo.get)
    for key in numerics.AVX2:
        monkeypatch.delenv(key, raising=False)
    for key, value in asked.items():
        monkeypatch.setenv(key, value)
    assert numerics.kernels_of_products() == expected


@pytest.mark.parametrize("products", [numerics.AVX512_OF_MKL, numerics.AVX512_OF_ONEDNN])
def test_an_emulated_processor_has_to_be_told_that_it_has_no_avx512(products, monkeypatch):
    monkeypatch.setattr(numerics, "PRODUCTS", products)
    monkeypatch.setattr(numerics, "_before_torch", True)
    for key, value in products.items():
        monkeypatch.setitem(numerics.PORTABLE, key, value)
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: False)
    message = r"has no AVX-512: set MKL_CBWR=AVX2,STRICT ONEDNN_MAX_CPU_ISA=AVX2 in"
    with pytest.raises(UserError, match=message):
        numerics.use("portable")


def python(code: str, **environment: str) -> str:
    """What a new process prints, which has none of the variables of portable numerics."""
    own = {key: value for key, value in os.environ.items() if key not in numerics.PORTABLE}
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=ROOT, env=own | environment, text=True)


def test_fast_numerics_leave_the_environment_alone():
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


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_portable_numerics_are_refused_where_torch_has_not_taken_them(capability):
    """Set after torch was loaded, they look as if they were chosen in time."""
    found = python(
        "import os, torch\ntorch.ones(9).exp()\nfrom pipeline.training import numerics\n"
        "os.environ.update(numerics.PORTABLE)\n"
        "try: numerics.use('portable')\n"
        "except Exception as error: print(type(error).__name__, error)",
        ATEN_CPU_CAPABILITY=capability,
    )
    assert found.startswith("UserError params.yaml: numerics: portable must be chosen before torch")


def test_portable_numerics_may_be_chosen_by_the_environment_of_the_process():
    found = python(
        "import torch\nfrom pipeline.training import numerics\nnumerics.use('portable')\nprint(1)",
        **numerics.PORTABLE,
    )
    assert found == "1\n"


@pytest.mark.parametrize(
    ("where", "missing"),
    [
        (torch.cpu, "_is_avx2_supported"),
        (torch.backends.mkl, "is_available"),
        (torch.backends.mkldnn, "is_available"),
    ],
)
def test_portable_numerics_are_refused_without_avx2_mkl_or_onednn(where, missing, monkeypatch):
    monkeypatch.setattr(where, missing, lambda: False)
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
