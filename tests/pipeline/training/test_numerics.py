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


def trained_on(*emulator: str, mkl: str) -> dict[str, dict[str, str]]:
    command = [*emulator, sys.executable, "-m", "tests.bits"]
    # An emulated thread that waits would take the time of one that computes.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", numerics.MKL: mkl}
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_trainings_on_this_processor_have_the_bits_of_all():
    assert trained_on(mkl=numerics.PORTABLE[numerics.MKL]) == json.loads(EXPECTED.read_text())


@pytest.mark.skipif(
    numerics.PORTABLE[numerics.MKL] == numerics.AVX2, reason="only an Intel with AVX-512 has others"
)
def test_trainings_with_the_kernels_of_other_processors_have_the_same_bits():
    assert trained_on(mkl=numerics.AVX2) == json.loads(EXPECTED.read_text())


@pytest.mark.long
@pytest.mark.skipif(not EMULATOR, reason="needs qemu-user, which emulates other processors")
@pytest.mark.parametrize("processor", ["Haswell", "EPYC"])  # of Intel and of AMD
def test_trainings_on_emulated_processors_have_the_same_bits(processor):
    found = trained_on(EMULATOR, "-cpu", processor, mkl=numerics.AVX2)
    assert found == json.loads(EXPECTED.read_text())


ALL = "avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("vendor", "flags", "asked", "expected"),
    [
        ("GenuineIntel", f"avx2 {ALL}", None, numerics.AVX512),
        ("GenuineIntel", f"avx2 {ALL}", numerics.AVX2, numerics.AVX2),
        ("GenuineIntel", f"avx2 {ALL}", "COMPATIBLE", numerics.AVX512),
        ("GenuineIntel", "avx2 avx512f avx512cd avx512er", None, numerics.AVX2),  # a Xeon Phi
        ("AuthenticAMD", f"avx2 {ALL}", None, numerics.AVX2),
        ("", "", None, numerics.AVX2),
    ],
)
def test_only_an_intel_with_all_of_avx512_multiplies_with_it(
    vendor, flags, asked, expected, monkeypatch
):
    cpuinfo = {"vendor_id": vendor, "flags": flags}
    monkeypatch.setattr(numerics, "cpuinfo", cpuinfo.get)
    monkeypatch.delenv(numerics.MKL, raising=False)
    if asked:
        monkeypatch.setenv(numerics.MKL, asked)
    assert numerics.kernels_of_mkl() == expected


def test_an_emulated_processor_has_to_be_told_that_it_has_no_avx512(monkeypatch):
    monkeypatch.setitem(numerics.PORTABLE, numerics.MKL, numerics.AVX512)
    monkeypatch.setenv(numerics.MKL, numerics.AVX512)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: False)
    with pytest.raises(UserError, match=r"has no AVX-512: set MKL_CBWR=AVX2,STRICT"):
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
