"""Fast numerics: where they replace kernels, and which."""

import subprocess
import sys

import pytest
import torch

from pipeline.training import fast, kernels, numerics, onednn
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("shape", "taken"),
    [((128, 128, 128), True), ((127, 128, 128), False), ((128, 127, 128), False),
     ((128, 128, 127), False)],
)  # fmt: skip
def test_onednn_takes_products_with_large_dimensions(shape, taken, monkeypatch):
    found = []
    monkeypatch.setattr(onednn, "linear", lambda a, b, *rest: found.append(a.shape) or a @ b)
    rows, inner, columns = shape
    fast.kernels()["mm"](torch.ones(rows, inner), torch.ones(inner, columns))
    assert bool(found) == taken


@pytest.mark.parametrize(
    ("vendor", "capability", "replaced"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
    ],
)
def test_only_an_amd_with_avx512_has_them(vendor, capability, replaced, monkeypatch):
    found = []
    monkeypatch.setattr(numerics, "vendor", lambda: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(kernels, "replace", found.append)
    numerics.replace_kernels.__wrapped__("fast")
    assert any("mm" in each for each in found) == replaced


@pytest.mark.parametrize("wide", [False, True])
def test_gradients_of_many_weights_are_onednns_where_units_are_wide(wide, monkeypatch):
    found = []
    monkeypatch.setattr(fast, "has_wide_units", lambda: wide)
    monkeypatch.setattr(onednn, "d_weight", lambda d_out, x: found.append(x.shape) or d_out.T @ x)
    multiply = fast.kernels()["mm"]
    x = torch.ones(200, 128)
    for columns in (128, 256):
        made = multiply(torch.ones(200, columns).T, x)
        torch.testing.assert_close(made, torch.full((columns, 128), 200.0))
    assert found == ([x.shape] if wide else [])


@pytest.mark.long
def test_a_model_learns_with_them_as_with_torch():
    code = """
import sys, torch, transformer
from pipeline.training import fast, kernels
if sys.argv[1] == "fast":
    kernels.replace(fast.kernels())
torch.manual_seed(0)
model = transformer.gpt(transformer.Architecture(2, 2, 64, 256), 300, 32)
tokens = torch.randint(300, (4, 33))
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(5):
    loss = model.head.loss(model.encode(tokens[:, :-1]), tokens[:, 1:])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(loss.item())
"""
    losses = [
        float(subprocess.check_output([sys.executable, "-c", code, kind], cwd=ROOT))
        for kind in ("torch", "fast", "fast")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[1] == losses[2]
