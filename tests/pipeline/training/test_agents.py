"""Agents of torchrun, each in a folder of its own, as on several hosts."""

import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file, save_file

from pipeline.params import load
from pipeline.paths import sha256
from pipeline.running.agreement import PROCESSORS
from pipeline.stages.train import train
from tests.pipeline.training.test_processes import (  # noqa: F401  # fixtures
    WEIGHTS,
    no_launcher,
    prepared,
    torchrun,
)
from tests.ports import free_port


def agents(*folders: Path, **options: str) -> list[str]:
    """What an agent of torchrun in each folder prints."""
    return [agent.communicate()[0] for agent in started(*folders, **options)]


def started(*folders: Path, stage: str = "train", **variables: str) -> list[subprocess.Popen]:
    """The agents.

    variables: of the environment of the last one.
    """
    meeting = ("--master-addr", "127.0.0.1", "--master-port", str(free_port()))
    meeting += ("--nnodes", str(len(folders)))
    command = ("-m", "pipeline", stage, "--model", "gpt")
    return [
        torchrun(
            folder,
            *meeting,
            "--node-rank",
            str(rank),
            *command,
            **(variables if folder == folders[-1] else {}),
        )
        for rank, folder in enumerate(folders)
    ]


@pytest.mark.long
def test_two_agents_in_two_folders_train_as_one_process(prepared, tmp_path_factory):  # noqa: F811
    """As on two hosts: the same weights as of one process, written by the first alone. Agents with
    other files are refused before anything is written."""
    train(load(), "gpt", 0)
    alone = sha256(prepared / WEIGHTS)
    for made in ("models", ".checkpoints", ".records"):
        shutil.rmtree(prepared / made)
    other = shutil.copytree(prepared, tmp_path_factory.mktemp("host") / "other")
    contents = sorted(path.name for path in prepared.iterdir())

    words = other / "data" / "gpt" / "tokenizer.json"
    text = words.read_text()
    words.write_text(text + "\n")
    parameters = (other / "params.yaml").read_text()
    (other / "params.yaml").write_text(parameters.replace("threads: 1", "threads: 2"))
    printed, silent = agents(prepared, other)
    assert "different parameters and files in data/gpt" in printed
    assert str(other) in printed and str(prepared) in printed
    assert "error: process" not in silent
    for folder in (prepared, other):
        assert sorted(path.name for path in folder.iterdir()) == contents

    words.write_text(text)
    fast = parameters.replace("numerics: portable", "numerics: fast")
    for folder in (prepared, other):
        (folder / "params.yaml").write_text(fast)
    printed, _ = agents(prepared, other, ATEN_CPU_CAPABILITY="default")
    assert f"different {PROCESSORS}: " in printed

    for folder in (prepared, other):
        (folder / "params.yaml").write_text(parameters)
    agents(prepared, other)
    assert sha256(prepared / WEIGHTS) == alone
    assert sorted(path.name for path in other.iterdir()) == contents


@pytest.mark.long
def test_agents_with_different_trained_models_evaluate_neither(prepared, tmp_path_factory):  # noqa: F811
    train(load(), "gpt", 0)
    other = shutil.copytree(prepared, tmp_path_factory.mktemp("host") / "other")
    weights = {key: value + 1 for key, value in load_file(other / WEIGHTS).items()}
    save_file(weights, other / WEIGHTS)
    for _ in ("different", "missing"):
        printed, silent = agents(prepared, other, stage="evaluate")
        assert "process 1 (" in printed and "have different files in models/gpt/seed-0" in printed
        assert "error: process" not in silent
        assert not (prepared / "predictions").exists() and not (other / "predictions").exists()
        shutil.rmtree(other / "models", ignore_errors=True)


@pytest.mark.long
def test_a_training_whose_second_host_fails_goes_on_with_one_process(
    prepared,  # noqa: F811
    tmp_path_factory,
    capsys,
):
    content = load().content()
    content["gpt"]["train"] |= {"steps": 300, "checkpoint_every": 1, "evaluate_every": 100}
    Path("params.yaml").write_text(json.dumps(content))
    train(load(), "gpt", 0)
    alone = sha256(prepared / WEIGHTS)
    for made in ("models", ".checkpoints", ".records"):
        shutil.rmtree(prepared / made)
    other = shutil.copytree(prepared, tmp_path_factory.mktemp("host") / "other")

    first, second = started(prepared, other)
    while not list(prepared.glob(".checkpoints/*/state.pt")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    host = psutil.Process(second.pid)
    for process in (host, *host.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    printed, _ = first.communicate(timeout=60)
    assert first.returncode and "error: process 1 of 2" in printed, printed
    second.communicate()

    capsys.readouterr()
    train(load(), "gpt", 0)
    assert "gpt: continues after step" in capsys.readouterr().out
    assert sha256(prepared / WEIGHTS) == alone
    assert not (other / "models").exists()
