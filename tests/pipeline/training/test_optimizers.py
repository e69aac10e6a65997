"""Optimizers: ours equal torch's, and each parameter belongs to exactly one optimizer."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import transformer
from pipeline.parameters.base import StepTraining
from pipeline.training import optimizers
from pipeline.training.eager import Adam, AdamW
from pipeline.training.muon import Muon, orthogonalize
from tests.repository import ROOT
from transformer import Architecture

MODEL = {"n_layer": 2, "n_head": 2, "d_model": 8, "d_mlp": 16}


def settings(raw, **changes) -> StepTraining:
    return StepTraining.model_validate(raw["train"] | raw["bert"]["train"] | changes)


@pytest.mark.parametrize("shape", [(12, 12), (16, 8), (8, 16)])
def test_muon_moves_as_torchs_own(shape):
    """torch's uses bfloat16, so the tolerance is 2% of the step's length."""
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), torch.randn(3, *shape)
    moved = []
    for kind in (Muon, torch.optim.Muon):
        parameter = nn.Parameter(start.clone())
        optimizer = kind([parameter], lr=0.1, weight_decay=0.1, momentum=0.9)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        moved.append(parameter.detach() - start)
    ours, theirs = moved
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


@pytest.mark.parametrize("shape", [(12, 12), (12, 16), (8, 24), (24, 8)])
@pytest.mark.parametrize("smallest", [1, 1e-2, 1e-9])
@pytest.mark.parametrize("steps", [1, 5])
def test_singular_values_move_by_the_quintic_polynomial(shape, smallest, steps):
    """Also by the shorter way for wide matrices, and however small some of them are."""
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, n).double()).Q for n in shape)
    values = torch.logspace(0, math.log10(smallest), min(shape)).double()
    moved = values / values.norm()
    for _ in range(steps):
        moved = 3.4445 * moved - 4.7750 * moved**3 + 2.0315 * moved**5
    given, wanted = (
        left[:, : len(values)] * each @ right[:, : len(values)].T for each in (values, moved)
    )
    found = orthogonalize(given.float()[None], steps)[0].double()
    assert (found - wanted).norm() < 1e-3 * wanted.norm()


@pytest.mark.parametrize("shape", [(6, 6), (4, 10), (10, 4)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonalize(torch.randn(5, *shape), steps=5))
    assert singular.min() > 0.3
    assert singular.max() < 1.3


@pytest.mark.parametrize("columns", [8, 24])
def test_more_steps_let_no_singular_value_grow(columns):
    torch.manual_seed(0)
    left = torch.linalg.qr(torch.randn(8, 8)).Q
    matrix = left * torch.logspace(0, -9, 8) @ torch.randn(8, columns)
    orthogonal = orthogonalize(matrix[None], steps=30)
    assert orthogonal.isfinite().all() and torch.linalg.svdvals(orthogonal).max() < 1.3


def test_a_fused_matrix_is_orthogonalized_in_its_parts():
    torch.manual_seed(0)
    fused = nn.Parameter(torch.zeros(12, 4))
    parts = [nn.Parameter(torch.zeros(4, 4)) for _ in range(3)]
    gradient = torch.randn(12, 4)
    fused.grad = gradient
    for part, piece in zip(parts, gradient.split(4), strict=True):
        part.grad = piece
    Muon([{"params": [fused], "parts": 3}], lr=0.1).step()
    Muon(parts, lr=0.1).step()
    torch.testing.assert_close(fused.data, torch.cat([part.data for part in parts]))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("tie", [True, False])
def test_every_parameter_is_moved_once(raw, optimizer, tie):
    model = transformer.bert(Architecture(**MODEL), 20, 6, tie_embeddings=tie)
    built = optimizers.build(model, settings(raw, optimizer=optimizer))
    moved = [p for o in built for group in o.param_groups for p in group["params"]]
    assert sorted(map(id, moved)) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_muon_moves_the_hidden_matrices_alone(raw, stem):
    model = transformer.vit(Architecture(**MODEL), 8, 4, 1, 3, stem=stem)
    muon, _ = optimizers.build(model, settings(raw, optimizer="muon"))
    names = {id(p): name for name, p in model.named_parameters()}
    moved = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    kinds = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
    assert moved == {f"blocks.{i}.{kind}.weight" for i in range(2) for kind in kinds}
    assert len(muon.param_groups[1]["params"]) == 2


def test_a_parameter_that_is_forgotten_or_moved_twice_is_noticed():
    layer = nn.Linear(2, 2)
    with pytest.raises(AssertionError, match="belongs to no optimizer"):
        optimizers.assert_exact_cover(layer, [torch.optim.SGD([layer.weight], lr=1)])
    twice = [torch.optim.SGD(layer.parameters(), lr=1) for _ in range(2)]
    with pytest.raises(AssertionError, match="two optimizers"):
        optimizers.assert_exact_cover(layer, twice)


@pytest.mark.parametrize("steps", [1, 5, 12])
def test_operations_of_muon_are_those_that_torch_counts(raw, steps):
    model = transformer.vit(Architecture(**MODEL), 8, 4, 1, 3)
    muon, _ = optimizers.build(model, settings(raw, optimizer="muon"))
    for group in muon.param_groups:
        group["ns_steps"] = steps
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    with FlopCounterMode(display=False) as counter:
        muon.step()
    assert muon.flops_per_step() == counter.get_total_flops() > 0


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_adam_moves_exactly_as_torchs_own(kind):
    torch.manual_seed(0)
    start, gradients = torch.randn(5, 3), torch.randn(6, 5, 3)
    moved = []
    for each in (kind, getattr(torch.optim, kind.__name__)):
        parameter = nn.Parameter(start.clone())
        optimizer = each([parameter], lr=0.1, weight_decay=0.1, fused=True)
        for step, gradient in enumerate(gradients):
            if step == 3:  # as after a checkpoint
                state = optimizer.state_dict()
                optimizer = each([parameter])
                optimizer.load_state_dict(state)
            parameter.grad = gradient.clone()
            optimizer.step()
        moved.append(parameter.detach())
    assert torch.equal(*moved) and not torch.equal(moved[0], start)


def test_the_first_step_imports_no_compiler():
    """It takes seconds."""
    code = (
        "import sys, torch; from pipeline.training.eager import AdamW\n"
        "from pipeline.training.muon import Muon\n"
        "p = torch.nn.Parameter(torch.ones(2, 2)); p.grad = torch.ones(2, 2)\n"
        "for each in (AdamW([p]), Muon([p])):\n"
        "    each.step(); each.zero_grad(); p.grad = torch.ones(2, 2)\n"
        "    each.load_state_dict(each.state_dict())\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
