"""The cost of a step is that of the passes and of the optimizer's matrix products."""

import pytest
import torch

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.training import optimizers
from pipeline.training.cost import flops_per_step
from tests.conftest import build

CPU = torch.device("cpu")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_matrix_products_of_the_optimizer_count(small, optimizer):
    prepare(small, "gpt")
    changed = small.content()
    changed["gpt"]["train"]["optimizer"] = optimizer
    objective = build("gpt", validate(changed), 0, data_dir("gpt"), CPU)
    model, settings = objective.build_model(), validate(changed).section("gpt").train
    passes = objective.flops_per_step(model)
    first = optimizers.build(model, settings)[0]
    expected = first.flops_per_step() if optimizer == "muon" else 0
    assert flops_per_step(model, objective, settings) == passes + expected
    assert (expected > 0) == (optimizer == "muon")
