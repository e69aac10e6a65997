"""Any number of processes trains the same model, to the bit; errors of launchers are clear."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from ruamel.yaml import YAML

from pipeline.errors import UserError
from pipeline.params import load, validate
from pipeline.paths import sha256
from pipeline.running import joining, launch
from pipeline.running.joining import joined
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.training.processes import ONE, Processes
from pipeline.training.tree import require_size, sizes, tree
from tests.conftest import MODELS, ROOT
from tests.interruption import runs
from tests.pipeline.training.worlds import checksums

WEIGHTS = Path("models/gpt/seed-0/model.safetensors")
GPUS = torch.cuda.device_count()
needs_gpu = pytest.mark.skipif(not GPUS, reason="there is no GPU")
NOWHERE = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PROCESSES")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


def leaves(count: int) -> list[torch.Tensor]:
    """Numbers whose sum depends on the order."""
    return list(torch.randn(count, 1000, generator=torch.Generator().manual_seed(0)))


def summed(parts: list[torch.Tensor | None]) -> torch.Tensor | None:
    total = tree(0, len(parts), lambda i: None if parts[i] is None else [parts[i].clone()])
    return total and total[0]


def test_the_tree_adds_halves_and_an_odd_number_from_left_to_right():
    a, b, c, d, e, f = leaves(6)
    assert summed([a, b, c, d]).equal((a + b) + (c + d))
    assert not summed([a, b, c, d]).equal(((a + b) + c) + d)
    assert summed([a, b, c, d, e, f]).equal(((a + b) + c) + ((d + e) + f))
    assert summed([a, None, None, d]).equal(a + d)
    assert summed([None, None]) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 8, 12, 16, 20, 24])
def test_each_process_has_a_subtree(count):
    parts = leaves(count)
    for size in sizes(count):
        local = []
        for rank in range(size):
            first, own = Processes(rank, size).own(count)
            local.append(tree(first, own, lambda i: [parts[i].clone()])[0])
        assert summed(local).equal(summed(parts)), size


def test_sizes_are_those_that_fit_the_tree():
    assert sizes(1) == [1]
    assert sizes(8) == [1, 2, 4, 8]
    assert sizes(12) == [1, 2, 4, 12]
    with pytest.raises(UserError, match=r"^3 processes cannot share the 8 .* use 1 or 2 or 4 or 8, "
                                        r"or set `train.accumulate` to 3$"):  # fmt: skip
        require_size(3, 8)
    with pytest.raises(UserError, match=r"use 1 or 2 or 6, .* to a multiple of 4$"):
        require_size(4, 6)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "0"}, "has set no WORLD_SIZE, MASTER_ADDR, MASTER_PORT, so"),
        ({"RANK": "1", "WORLD_SIZE": "2"}, "has set no MASTER_ADDR, MASTER_PORT, so"),
        (NOWHERE | {"RANK": "2"}, "RANK=2, WORLD_SIZE=2, .* with RANK below WORLD_SIZE"),
        (NOWHERE | {"RANK": "x"}, "RANK=x, WORLD_SIZE=2, .* expected numbers"),
        (NOWHERE | {"RANK": "0", "MASTER_PORT": "99999"}, "MASTER_PORT below 65,536"),
        (NOWHERE | {"RANK": "1"}, "process 1 of 2 has not met the others at 127.0.0.1:1 within 1 "),
        (NOWHERE | {"RANK": "0", "MASTER_PORT": "0"}, "process 0 of 2 has not met the others"),
    ],
)
def test_a_launcher_that_brings_no_processes_together_is_refused(monkeypatch, variables, message):
    monkeypatch.setattr(joining, "PATIENCE", timedelta(seconds=1))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message), joined():
        pass


def test_a_process_that_never_comes_is_not_waited_for(monkeypatch):
    """As under torchrun, whose agent has a store before its processes start."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setattr(joining, "PATIENCE", timedelta(seconds=1))
    where = {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in (NOWHERE | {"RANK": "0"} | where).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="process 0 of 2 has not met the others"), joined():
        pass


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5"])
def test_processes_is_a_number(monkeypatch, value):
    monkeypatch.setenv("PROCESSES", value)
    with pytest.raises(UserError, match=f"PROCESSES={value}: expected a number of processes"):
        launch.wanted()


def test_processes_that_suit_no_model_are_refused(small, monkeypatch):
    content = small.content()
    launch.require_some_model(small)
    monkeypatch.setenv("PROCESSES", "4")
    with pytest.raises(UserError, match=r"^4 processes cannot share the 1 micro-batches of a step"):
        launch.require_some_model(small)
    content["gpt"]["train"]["accumulate"] = 4
    launch.require_some_model(validate(content))


@pytest.fixture
def prepared(small, project) -> Path:
    """A project with params.yaml and the data of all models."""
    for name in MODELS:
        prepare(small, name)
    content = small.content()
    content["gpt"]["train"]["accumulate"] = 4
    with open("params.yaml", "w") as file:
        YAML().dump(content, file)
    return project


def torchrun(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen:
    """An agent of torchrun, in `folder`, with these variables of the environment."""
    return started([sys.executable, "-m", "torch.distributed.run", *arguments], folder, **variables)


def started(command: list[str], folder: Path, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("sharded", [[], pytest.param(["sharded"], marks=pytest.mark.long)])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_one_two_and_four_processes_train_the_same(prepared, device, sharded):
    """Every task, with Muon and AdamW, dropout, clipping, bfloat16, a convolutional stem, and small
    or empty micro-batches; one process also in another run."""
    params = validate(load().content() | {"device": device})
    Path("params.yaml").write_text(json.dumps(params.content()))
    module = ("-m", "tests.pipeline.training.worlds", "4")
    counts = [n for n in (1, 2, 4) if not sharded or device == "cpu" or n <= GPUS]
    started = {
        n: torchrun(
            prepared, "--standalone", "--nproc-per-node", str(n), *module, f"{n}.json", *sharded
        )
        for n in counts
    }
    one = checksums(params, 4, ONE)
    assert len(set(one.values())) == 2 * len(MODELS)
    for n, run in started.items():
        output, _ = run.communicate()
        assert run.returncode == 0, output
        assert one == json.loads((prepared / f"{n}.json").read_text()), n


def written(folder: Path) -> dict[str, str]:
    """The checksums of all files in a folder."""
    return {str(f.relative_to(folder)): sha256(f) for f in folder.rglob("*") if f.is_file()}


@pytest.mark.long
def test_an_evaluation_writes_the_same_on_one_process_and_on_two(prepared):
    for name in MODELS:
        train(load(), name, 0)
        evaluate(load(), name, 0)
    alone = written(Path("predictions"))
    assert {Path(file).parts[0] for file in alone} == set(MODELS)
    shutil.rmtree("predictions")
    command = ("-m", "pipeline", "evaluate", "--model")
    runs = [
        torchrun(prepared, "--standalone", "--nproc-per-node", "2", *command, name)
        for name in MODELS
    ]
    for run in runs:
        output, _ = run.communicate()
        assert run.returncode == 0, output
    assert written(Path("predictions")) == alone


FAILING = """
import os
from pipeline.params import load
from pipeline.stages.train import train
from pipeline.tasks.causal_lm import CausalLM

def fails(*_):
    raise RuntimeError("tried to allocate 2.00 GiB")

if os.environ["RANK"] == "1":
    CausalLM.loss = fails
train(load(), "gpt", 0)
"""


@pytest.mark.parametrize("sharded", [False, pytest.param(True, marks=pytest.mark.long)])
def test_an_error_of_one_process_is_not_taken_for_the_end_of_another(prepared, sharded):
    content = load().content()
    content["gpt"]["train"]["fully_shard"] = sharded
    Path("params.yaml").write_text(json.dumps(content))
    Path("failing.py").write_text(FAILING)
    run = torchrun(prepared, "--standalone", "--nproc-per-node", "2", "failing.py")
    output, _ = run.communicate()
    assert run.returncode
    assert "tried to allocate 2.00 GiB" in output
    assert "process 0 of 2" not in output  # the launcher may stop it before it names the other


@pytest.fixture
def endless(prepared):
    """A training of two processes without an end: of torchrun, or of PROCESSES."""
    content = load().content()
    content["gpt"]["train"]["steps"] = 100_000
    Path("params.yaml").write_text(json.dumps(content))
    train = ("-m", "pipeline", "train", "--model", "gpt")

    def start(launcher: str) -> tuple[subprocess.Popen, dict[str, psutil.Process]]:
        if launcher == "torchrun":
            run = torchrun(prepared, "--standalone", "--nproc-per-node", "2", *train)
        else:
            run = started([sys.executable, *train], prepared, PROCESSES="2")
        while not list(prepared.glob(".checkpoints/*/state.pt")):
            assert run.poll() is None, run.communicate()[0]
            time.sleep(0.1)
        ranks = {child.environ().get("RANK"): child for child in psutil.Process(run.pid).children()}
        return run, ranks

    return start


@pytest.mark.parametrize(
    "to", ["0", *(pytest.param(to, marks=pytest.mark.long) for to in ("1", "launcher"))]
)
def test_a_signal_to_one_process_or_the_launcher_saves_and_ends_all(prepared, endless, to):
    run, ranks = endless("PROCESSES" if to == "launcher" else "torchrun")
    (run if to == "launcher" else ranks[to]).terminate()
    output, _ = run.communicate()
    assert run.returncode and "saved after step" in output, output
    assert list(prepared.glob(".checkpoints/*/state.pt")) and not (prepared / "models").exists()
    (found,) = runs(prepared)
    assert found.info.status == "KILLED"


@pytest.mark.long
def test_processes_that_were_killed_are_named_by_the_launcher(endless):
    run, ranks = endless("PROCESSES")
    killed = [ranks["0"], ranks["1"]]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # so that none reports the other's end
        for process in killed:
            process.send_signal(number)
    output, _ = run.communicate()
    assert run.returncode == 1
    assert output.endswith("error: processes 0, 1 of 2 were killed\n")
