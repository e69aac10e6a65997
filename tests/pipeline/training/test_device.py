"""The device of params.yaml."""

import platform
import subprocess
import sys

import pytest
import torch

from pipeline.errors import UserError
from pipeline.training import device as devices
from pipeline.training.compilation import missing_compiler
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("build", "advice"),
    [(None, "; use auto or cpu, or `rm -r .venv && TORCH_BUILD=cuda ./run`"),
     ("13.0", "; use auto or cpu")],
)  # fmt: skip
def test_a_gpu_that_is_not_seen_is_reported_with_what_to_do(monkeypatch, build, advice):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    with pytest.raises(UserError) as caught:
        devices.prepare("cuda", 2, "fast")
    assert str(caught.value) == f"params.yaml: device: cuda, but torch sees no CUDA GPU{advice}"


@pytest.mark.parametrize(
    ("name", "value", "allowed"), [("OMP_THREAD_LIMIT", "1", "2"), ("OMP_DYNAMIC", "TRUE", "false")]
)
def test_fewer_threads_than_the_recipe_has_are_refused(monkeypatch, name, value, allowed):
    """Torch may hang with them, or compute garbage without a word."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rf"threads: 2, but with {name}={value} .* unset"):
        devices.prepare("cpu", 2, "fast")
    devices.prepare("cpu", 1, "fast")
    monkeypatch.setenv(name, allowed)
    devices.prepare("cpu", 2, "fast")


def test_computation_is_deterministic_and_the_compiler_is_not_imported_for_it():
    look = (
        "import sys, torch; from pipeline.training import device as devices; "
        "devices.prepare('cpu', 1, 'fast'); "
        "print(torch.are_deterministic_algorithms_enabled(), 'torch._inductor' in sys.modules)"
    )
    found = subprocess.check_output([sys.executable, "-c", look], cwd=ROOT, text=True)
    assert found == "True False\n"


def test_a_compiled_training_is_deterministic_too(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(torch, "compile", lambda function: function)
    devices.prepare("cpu", 1, "fast")
    config.deterministic = False
    missing_compiler(torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled() and config.deterministic


def test_memory_that_a_step_frees_is_used_by_the_next_without_asking_the_kernel():
    look = """
import itertools, resource, statistics, sys, torch
from pipeline.training import device as devices

if sys.argv[1] == "kept":
    devices.prepare("cpu", 1, "fast")
faults = []
for _ in range(12):  # the first ones, and rarely a later one, find their places
    activations = [torch.ones(2**24) for _ in range(4)]
    del activations
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
of_a_step = statistics.median(after - before for before, after in itertools.pairwise(faults))
print(of_a_step * resource.getpagesize() / 2**20)
"""
    megabytes = {
        kind: float(subprocess.check_output([sys.executable, "-c", look, kind], cwd=ROOT))
        for kind in ("kept", "returned")
    }
    assert megabytes["kept"] < 1
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        assert megabytes["returned"] > 200  # of 256
