"""Shared fixtures: the committed parameters, small data, an empty project."""
# ruff: noqa: E402  # portable numerics must be chosen before anything imports torch

from pipeline.training import numerics

numerics.choose("portable")

import copy
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from ruamel.yaml import YAML

from pipeline.params import Params, validate
from pipeline.tasks import task_class
from pipeline.tracking import TrainedModel
from pipeline.training.task import Task
from pipeline.yaml_file import merge

ROOT = Path(__file__).parent.parent
MODELS = ("bert", "gpt", "vit", "g2p")  # of the committed params.yaml
WITH_TARGETS = EXPORTED = ("bert", "gpt", "vit")
WORDS = re.findall(r"\S+", "the king and the queen of the north went to sea to see ships come in .")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One thread, also after a test of more: two wait for each other in computations this small."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """No compiled code of earlier tests: torch compiles at most eight versions of a function."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()  # noqa: SLF001  # also torch.compiler.reset, which imports it


@pytest.fixture
def raw() -> dict[str, Any]:
    """The content of the committed params.yaml, which a test may change."""
    return copy.deepcopy(YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text()))


def with_profile(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """`raw` merged with a profile, as by `-S +profile=name`."""
    profile = YAML(typ="safe", pure=True).load((ROOT / "profile" / f"{name}.yaml").read_text())
    return merge(raw, profile)


def build(name: str, params: Params, seed: int, data: Path, device: torch.device) -> Task:
    """The task of the model `name` on the prepared data in the folder `data`."""
    section = params.section(name)
    return task_class(section.task)(section, seed, data, device)


def log_evaluation(params: Params, name: str) -> None:
    """Log the evaluation of a model to MLflow, as the stage `report` does for all models."""
    trained = TrainedModel(params, name, 0)
    with trained.tracker("report") as tracker:
        trained.log_evaluation(tracker)


def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that the processes that run the tests share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> tuple[Path, str]:
    """A clone that has run the profile smoke, and what was printed. Tests change copies of it."""
    from tests import repository

    shared = of_all_workers(tmp_path_factory)
    folder, printed = shared / "smoke", shared / "smoke.txt"
    with FileLock(shared / "smoke.lock"):
        if not printed.exists():
            repository.make_small(folder)
            command = ("dvc", "exp", "run", "--name", "smoke-run", "-S", "+profile=smoke")
            printed.write_text(repository.run(folder, *command))
    return folder, printed.read_text()


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """An empty database of MLflow, which takes seconds to create: tests copy it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("database")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", f"{folder}/mlartifacts")
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Path) -> Path:
    """A project without files for running stages, with its own cache and database."""
    shutil.copy(database, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def dictionary(words: int) -> str:
    """A pronouncing dictionary of random words, in which each letter has its sound; every fifth
    word has a second pronunciation, with another stress."""
    rng = np.random.default_rng(0)
    sounds = {"a": "AA1", "e": "EH1", "k": "K", "s": "S", "t": "T"}
    found = {"".join(rng.choice(list(sounds), rng.integers(2, 8))): None for _ in range(words)}
    lines = []
    for index, word in enumerate(sorted(found)):
        said = " ".join(sounds[letter] for letter in word)
        lines.append(f"{word} {said}")
        if index % 5 == 0:
            lines.append(f"{word}(2) {said.replace('1', '0')} S # a comment")
    return "\n".join(lines) + "\n"


@pytest.fixture
def small(raw: dict[str, Any], project: Path) -> Params:
    """Parameters for runs of seconds, on generated data."""
    generate_data(project)
    return validate(small_settings(raw))


def generate_data(project: Path) -> None:
    """A text, images and a dictionary."""
    rng = np.random.default_rng(0)
    text = " ".join(rng.choice(WORDS, 3000))
    (project / "text.txt").write_text(text)
    for index, shade in enumerate((0, 128, 255)):
        folder = project / "images" / f"class{index}"
        folder.mkdir(parents=True)
        for number in range(10):
            noise = rng.integers(-20, 20, (8, 8, 3))
            pixels = np.clip(shade + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (project / "words.dict").write_text(dictionary(120))


def small_settings(raw: dict[str, Any]) -> dict[str, Any]:
    """`raw`, changed for trainings of eight steps on the generated data."""
    raw["threads"] = 1
    raw["model"] |= {"n_layer": 1, "n_head": 2, "d_model": 16, "d_mlp": 32}
    for name in ("bert", "gpt"):
        raw[name]["data"] |= {"text": "text.txt", "tokenizer": "word", "sequence_length": 8}
        intervals = {"evaluate_every": 4, "checkpoint_every": 3, "log_every": 2}
        raw[name]["train"] |= {"steps": 8, "batch_size": 8, "warmup_steps": 0} | intervals
        raw[name]["objective"]["sampled_softmax"] = {"frequent": 0, "random": 0}
    raw["g2p"]["data"] |= {
        "dictionary": "words.dict", "validation_fraction": 0.1, "test_fraction": 0.2,
    }  # fmt: skip
    raw["g2p"]["model"] |= {"n_layer": 1, "d_model": 16, "d_mlp": 32}
    raw["g2p"]["train"] |= {"steps": 8, "batch_size": 8, "warmup_steps": 0} | intervals
    raw["vit"]["data"] |= {"images": "images", "image_size": 8}
    raw["vit"]["train"] |= {"epochs": 2, "batch_size": 8, "warmup_steps": 0}
    raw["vit"]["model"] |= {"patch_size": 4}
    return raw
