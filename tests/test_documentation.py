"""Every command and snippet that README and docs print runs, as printed, in a project of its own.

They run in the order of the pages, each once, with the real DVC and MLflow. The trainings
are small, and the data are the text and the images that the pages name.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.paths import read_json, write_json
from pipeline.wording import WIDTH
from pipeline.yaml_file import flatten
from tests import documentation, repository
from tests.conftest import WORDS
from tests.documentation import LANGUAGES, PAGES
from tests.ports import free_port
from tests.test_run import clone_with_an_environment

EXAMPLES = {example: None for page in PAGES for example in documentation.examples(page)}
# By the command without a remark, which a reader copies, too.
COMMANDS: dict[str, documentation.Example] = {}
for example in EXAMPLES:
    COMMANDS.setdefault(re.sub(r"\s+#.*", "", example.text), example)

EXPERIMENT = "dvc exp run "
TEAM = "needs a team's servers; test_team.py has them"
# What does not run in a test, and why. The overrides of experiments are checked all the same.
NOT_RUN = {
    "python -m pipeline": "names the program; without a command it is a mistake",
    "./run pytest": "runs this test",
    "pip install .": "installs into this environment; test_wheel.py installs into a folder",
    "TORCH_BUILD=cuda ./run": "installs gigabytes where the environment is missing",
    "dvc exp run -S +profile=record": "needs data of no package index",
    "dvc exp run -S +profile=reference -S train.precision=bf16 -S train.compile=true":
        "needs data of no package index, and hours",
    "dvc exp run -S 'seeds=[0,1,2]'": "trains all models, as `-S model.n_layer=6` does",
    "dvc exp run -S model.positions=rotary": "trains all models, as `-S model.n_layer=6` does",
    "dvc exp run -S +profile=smoke": "trains all models; many tests run it",
    "PROCESSES=2 dvc exp run -S train.fully_shard=true -S train.accumulate=2":
        "trains all models; test_processes.py has one",
    "transformer-benchmark completion fish | source": "for fish; test_completion.py has its script",
    "torchrun --nnodes 2 --node-rank 0 --master-addr HOST --master-port 29500 --nproc-per-node 8"
    "      -m pipeline train --model gpt --ahead":
        "needs two hosts; tests/pipeline/training/test_agents.py has two on one",
    "dvc exp run -S 'seeds=[0,1,2,3,4]'": "trains all models five times",
    "dvc exp run -n six-layers -S model.n_layer=6": "trains all models, as without a name",
    "python -m pipeline compare main HEAD --fail-if-worse gpt.loss":
        "needs several seeds; test_compare.py has one",
    "python -m pipeline sweep deeper -S model.n_layer=2,4,6":
        "trains all models three times; test_sweep.py has a smaller one",
    "python -m pipeline sweep deeper -S model.n_layer=2,4,6 --seeds 0,1,2 --on auto":
        "needs a cluster; test_sweep.py has one",
    "./run python -m pip install -r environment/team.lock": "installs into this environment",
    "./run python -m pip install -r environment/cluster.lock": "likewise",
    "dvc remote add --default team s3://BUCKET/dvc": TEAM,
    "dvc remote modify team endpointurl https://s3.example.org": TEAM,
    "dvc push": TEAM,
    "dvc pull": TEAM,
    "dvc exp push origin NAME": TEAM,
    "git push": TEAM,
    "git pull": TEAM,
    "PROCESSES=8 dvc exp run -S train.accumulate=8": "needs eight GPUs",
    "./run python -m tests.bits --full": "needs the default data; test_numerics.py has others",
    "./run python -m tests.golden": "writes into tests/golden; test_golden.py draws the curves",
    "./run python -m tests.interruption --kills 50": "takes an hour; test_interruption.py has less",
}  # fmt: skip
# What a reader fills in, and what is filled in here; {braces} are known when the command runs.
PLACEHOLDERS = {
    "<command>": "true",
    " -S ...": " -S gpt.train.lr=0.003",
    "BRANCH": "kept",
    "NEW": "renamed",
    "NAME": "{experiment}",
    "puffy-tune": "{experiment}",
    "path/to/images": "data/own/flowers/tulip",
    "path/to/bert-base-uncased": "downloads/bert",
    # No placeholders: downloads, and a port that another program may have.
    "pretrained=True": "pretrained=False",
    "pipeline ui": "pipeline ui --port {port}",
}


def printed(text: str) -> bool:
    return any(text in example.text for example in EXAMPLES)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_a_known_language(page):
    assert documentation.languages(page) <= set(LANGUAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_every_command_whole(page):
    """A '|' in the cell of a table, for one, would cut the command off there."""
    shown = {" ".join(example.text.split()) for example in documentation.examples(page)}
    assert [command for command in documentation.commands_of_source(page)
            if command not in shown] == []  # fmt: skip


def test_the_exceptions_are_still_printed():
    """An exception for what no page says any more is to be removed here."""
    assert [text for text in (*NOT_RUN, *PLACEHOLDERS) if not printed(text)] == []


def test_every_override_changes_a_value_and_is_marked_where_it_adds_a_key(raw):
    values = flatten(raw)
    for example in (each for each in EXAMPLES if each.language == "sh"):
        words = shlex.split(example.text, comments=True)
        overrides = [value for flag, value in pairwise(words) if flag == "-S" and value != "..."]
        for override in overrides:
            key, value = override.split("=")
            if key.startswith("+"):
                assert key == "+profile" or key[1:] not in values, example
            else:
                assert str(values[key]) != value, example


def own_data(params: dict[str, Any]) -> None:
    """Changes parameters to the text and the images that the pages name."""
    for name in ("bert", "gpt"):
        params[name]["data"]["text"] = "data/own/novel.txt"
    params["vit"]["data"]["images"] = "data/own/flowers"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A clone with small parameters, a novel, flowers, a dictionary, and another library's BERT."""
    folder = clone_with_an_environment(tmp_path_factory.mktemp("project") / "benchmark", own_data)
    rng = np.random.default_rng(0)
    own = folder / "data" / "own"
    (own / "novel.txt").write_text("\n".join(" ".join(rng.choice(WORDS, 10)) for _ in range(300)))
    words = ["".join(rng.choice(list(ascii_lowercase), rng.integers(2, 9))) for _ in range(600)]
    (own / "words.dict").write_text("\n".join(f"{word} {' '.join(word.upper())}" for word in words))
    for kind, shade in (("daisy", 250), ("tulip", 90)):
        (own / "flowers" / kind).mkdir(parents=True)
        for number in range(5):
            pixels = np.clip(rng.normal(shade, 20, (14, 14, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(own / "flowers" / kind / f"{number}.png")
    # Of data/own, git has what it is told to have; experiments in a queue need it.
    repository.run(folder, "git", "add", "--force", "data/own")
    repository.save(folder, "Our own data")
    from transformers import BertConfig, BertForPreTraining

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 8, "vocab_size": 30}  # fmt: skip
    theirs = folder / "downloads" / "bert"
    BertForPreTraining(BertConfig(**sizes)).save_pretrained(theirs)
    # As bert-base-uncased: it names another class than the one whose weights it has.
    config = read_json(theirs / "config.json")
    write_json(config | {"architectures": ["BertForMaskedLM"]}, theirs / "config.json")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[:70])
def test_a_command_runs_as_printed(project, command):
    example = COMMANDS[command]
    if command.startswith(EXPERIMENT):  # else it would go on from the values of the last one
        repository.run(project, "git", "restore", "params.yaml")
    if command in NOT_RUN:
        if command.startswith(EXPERIMENT):
            overrides = re.sub(r"^-n \S+ ", "", command.removeprefix(EXPERIMENT))
            shell(project, f"python -m pipeline check {overrides}")
    elif example.language == "python":
        repository.run(project, sys.executable, "-c", filled_in(example.text, project))
    elif "pipeline ui" in command:
        look_at_the_ui(project, filled_in(command, project))
    elif command == "dvc queue start":
        run_an_experiment_of_the_queue(project, command)
    else:
        shell(project, filled_in(example.text, project))
    if command == "./run":  # what experiments are compared with
        repository.save(project, "Our own results")


def filled_in(text: str, project: Path) -> str:
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    values = {}
    if "{experiment}" in text:
        names = repository.run(project, "dvc", "exp", "list", "--name-only").split()
        values["experiment"] = next(name for name in names if has_bert(project, name))
    if "{port}" in text:
        values["port"] = str(free_port())
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def has_bert(project: Path, experiment: str) -> bool:
    """Whether an experiment, if it is applied, leaves the model that later commands ask."""
    refs = f"refs/exps/*/*/{experiment}"
    commit = repository.run(project, "git", "for-each-ref", "--format=%(objectname)", refs)
    params = repository.run(project, "git", "show", f"{commit.strip()}:params.yaml")
    return "bert" in YAML(typ="safe", pure=True).load(params)["model_names"]


def shell(project: Path, command: str) -> str:
    """What a command prints in the shell of a reader, who has activated the environment."""
    path = f"PATH={shlex.quote(str(project))}/.venv/bin:$PATH"
    output = repository.run(project, "bash", "-c", f"{path}\n{command}")
    assert "Traceback" not in output, output
    # A generated text has the lines that it has; all else fits the terminal.
    if re.match(r"python -m pipeline (?!generate)", command):
        assert max(map(len, output.splitlines()), default=0) <= WIDTH, output
    return output


def look_at_the_ui(project: Path, command: str) -> None:
    """The server answers at the address that it prints, and ends without an error at Ctrl-C."""
    with subprocess.Popen(
        shlex.split(command), cwd=project, env=repository.environment(), text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    ) as server, ended(server):  # fmt: skip
        address = next(
            found[0] for line in server.stdout if (found := re.search(r"http://\S+", line))
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(address, timeout=10) as answer:
                    assert "MLflow" in answer.read().decode()
                    break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.5)
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait(60) == 0


@contextmanager
def ended(server: subprocess.Popen) -> Iterator[None]:
    """Leave no server behind, whatever happens."""
    try:
        yield
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)


def run_an_experiment_of_the_queue(project: Path, command: str) -> None:
    """The first one, which is in the cache, and the one that follows it; not the last one."""
    # Not to a pipe: the worker, which goes on, would keep it open.
    shell(project, f"{command} >.dvc/tmp/queue.log 2>&1")
    deadline = time.monotonic() + 600
    while "Success" not in (status := shell(project, "dvc queue status")):
        assert "Failed" not in status and time.monotonic() < deadline, status
        time.sleep(1)
    # Not with --kill: what it leaves of an experiment that is just starting makes `dvc exp show`
    # fail. The experiment that runs by now is finished first.
    shell(project, "dvc queue stop")
    while "0 active, 0 idle" not in (status := shell(project, "dvc queue status")):
        assert time.monotonic() < deadline, status
        time.sleep(1)
