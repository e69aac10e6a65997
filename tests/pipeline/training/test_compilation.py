"""`compile: true` without a compiler, and with the kernels of this project."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from ruamel.yaml import YAML

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.training.numerics import PORTABLE
from tests.conftest import ROOT, build


@pytest.fixture
def compiled(small, project):
    """Prepared data and params.yaml of a BERT with `compile: true`."""
    raw = small.content()
    raw["bert"]["train"]["compile"] = True
    with (project / "params.yaml").open("w") as file:
        YAML().dump(raw, file)
    prepare(validate(raw), "bert")
    return project


def test_without_a_compiler_a_training_ends_before_it_begins(compiled):
    (compiled / "mlflow.db").unlink()
    environment = os.environ | {"CXX": "no-such-compiler", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "train", "--model", "bert"],
        cwd=compiled,
        env=environment | {"TORCHINDUCTOR_CACHE_DIR": str(compiled / "inductor")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: params.yaml: bert.train.compile: true, but torch cannot")
    assert "No working C++ compiler found" in done.stderr and "g++" in done.stderr
    assert not (compiled / "mlflow.db").exists()  # there is no failed run


def test_another_number_of_masked_words_does_not_compile_again(compiled, small):
    raw = small.content()
    raw["bert"]["train"]["compile"] = True
    raw["bert"]["objective"]["masking"]["selection"] = "independent"
    task = build("bert", validate(raw), 0, data_dir("bert"), torch.device("cpu"))
    model, graphs = task.build_model(), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    model.encode = torch.compile(model.encode, backend=backend)
    counts = {task.weight(batch) for batch in map(task.batch, range(3))}
    for step in range(3):
        task.loss(model, task.batch(step))
    assert len(counts) > 1 and len(graphs) == 1


COMPILED = """
import sys
from pipeline.training import numerics
numerics.choose(sys.argv[1])
import torch, transformer
from pipeline.training import fast, kernels
numerics.use("portable") if sys.argv[1] == "portable" else kernels.replace(fast.kernels())
torch.manual_seed(0)
shape = transformer.Architecture(2, 2, 128, 256, qk_norm=True, positions="rotary")
model = transformer.gpt(shape, 300, 40)
tokens = torch.randint(300, (4, 41))
def step(encode):
    loss = model.head.loss(encode(tokens[:, :-1]), tokens[:, 1:])
    return [loss, *torch.autograd.grad(loss, model.parameters())]
for eager, compiled in zip(step(model.encode), step(torch.compile(model.encode)), strict=True):
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
"""


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.parametrize("numerics", ["portable", "fast"])
def test_a_compiled_model_computes_what_it_computes_uncompiled(numerics, tmp_path):
    own = {key: value for key, value in os.environ.items() if key not in PORTABLE}
    environment = own | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED, numerics]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
