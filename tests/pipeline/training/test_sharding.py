"""Processes divide a model among them; test_processes.py compares what they train.

    torchrun --nproc-per-node 2 -m tests.pipeline.training.test_sharding result.json

in a folder with params.yaml and prepared data prints what the first process has of each model.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.params import Params, load, validate
from pipeline.paths import data_dir
from pipeline.running.joining import joined
from pipeline.tasks.assembly import assemble
from pipeline.training import optimizers as optim
from pipeline.training.processes import Processes
from pipeline.yaml_file import merge
from tests.conftest import MODELS
from tests.pipeline.training.test_processes import prepared, torchrun  # noqa: F401  # a fixture


def numbers(tensor: Any) -> int:
    """How many numbers of a tensor this process has."""
    return getattr(tensor, "to_local", lambda: tensor)().numel()


def held(params: Params, processes: Processes) -> dict[str, dict[str, float]]:
    """This process's share of the weights and of the optimizers' state of each model."""
    shares = {}
    for name in MODELS:
        training = assemble(params, name, 0, data_dir(name), processes)
        model = training.task.build_model()
        whole = sum(each.numel() for each in model.parameters())
        training.task.processes.place(model, training.device)
        optimizers = optim.build(model, training.settings)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        for optimizer in optimizers:
            optimizer.step()
        state = [
            (value, parameter)
            for optimizer in optimizers
            for parameter, values in optimizer.state.items()
            for value in values.values()
            if value.shape == parameter.shape
        ]
        shares[name] = {
            "weights": sum(map(numbers, model.parameters())) / whole,
            "state": sum(numbers(value) for value, _ in state)
            / sum(parameter.numel() for _, parameter in state),
        }
    return shares


@pytest.mark.long
def test_each_process_has_its_slice_of_weights_and_optimizer_state(prepared):  # noqa: F811
    content = merge(load().content(), {"train": {"accumulate": 4, "fully_shard": True}})
    Path("params.yaml").write_text(json.dumps(content))
    run = torchrun(prepared, "--standalone", "--nproc-per-node", "4", "-m", __name__, "result.json")
    output, _ = run.communicate()
    assert run.returncode == 0, output
    shares = json.loads((prepared / "result.json").read_text())
    for name in MODELS:
        # A quarter, and the biases and norms, which are small in models of real size.
        assert 0.25 < shares[name]["weights"] < 0.4, shares
        assert 0.25 < shares[name]["state"] < 0.4, shares


def test_parameters_that_do_not_go_together_are_refused(small):
    wrong = merge(small.content(), {"gpt": {"train": {"fully_shard": True, "compile": True}}})
    with pytest.raises(UserError, match=r"gpt.train.fully_shard and gpt.train.compile: only one"):
        validate(wrong)
    wrong = merge(
        small.content(), {"gpt": {"train": {"fully_shard": True, "accumulate": 3, "batch_size": 6}}}
    )
    with pytest.raises(UserError, match=r"gpt.train.accumulate: 3 is not a power of two"):
        validate(wrong)


if __name__ == "__main__":
    with joined() as together:
        found = held(load(), together)
        if together.first:
            Path(sys.argv[1]).write_text(json.dumps(found))
