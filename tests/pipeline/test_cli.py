"""The commands: a user's mistake gives a short message and an exit code, without a traceback."""

import os
import pty
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.wording import WIDTH

ROOT = Path(__file__).parents[2]


def pipeline(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture
def folder(project: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", project)
    return project


def test_check_names_the_profile_and_what_differs_from_it(folder):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    result = pipeline(folder, "check")
    assert (result.returncode, result.stdout) == (0, "params.yaml is valid (profile default)\n")
    text = (folder / "params.yaml").read_text().replace("n_layer: 4", "n_layer: 6")
    (folder / "params.yaml").write_text(text)
    assert "(profile default, changed: model.n_layer=6)" in pipeline(folder, "check").stdout


@pytest.mark.parametrize("name", ["", *main.commands])
def test_every_command_has_a_short_help_that_fits_the_terminal(name):
    result = CliRunner().invoke(main, [*name.split(), "-h"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= WIDTH
    assert "..." not in re.sub(r"^Usage: .*", "", result.stdout)  # no sentence is cut off
    options = main.commands[name].params if name else []
    assert all(option.help for option in options if isinstance(option, click.Option))


@pytest.mark.parametrize("arguments", [["prune"], ["train"], ["train", "--models", "gpt"], []])
def test_a_wrong_command_line_ends_with_2(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize("command", [[], ["train"], ["verify"], ["fill-mask"]])
def test_help_has_two_names(folder, command):
    short, long = (pipeline(folder, *command, flag) for flag in ("-h", "--help"))
    assert short.returncode == 0 and short.stdout.startswith("Usage: python -m pipeline")
    assert short.stdout == long.stdout


@pytest.mark.parametrize(
    "command",
    [["check"], ["report"]]
    + [[c, "--model", m] for c, m in (("prepare", "bert"), ("train", "gpt"), ("evaluate", "vit"))],
)
def test_every_command_checks_the_parameters_first(folder, command):
    text = (folder / "params.yaml").read_text().replace("n_layer:", "n_layers:")
    (folder / "params.yaml").write_text(text)
    result = pipeline(folder, *command)
    assert result.returncode == 2
    assert "model.n_layers: unknown key; did you mean 'n_layer'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_params_are_refused_before_torch_is_imported(folder):
    """The import alone would take longer than the two seconds that an error may take."""
    code = (
        "import sys; from pipeline.params import load; load();"
        "print(sorted({'torch', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=folder, text=True, env=environment) == "[]\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "--model", "gpt"], "data/gpt is missing: run `dvc repro prepare@gpt` first"),
        (["evaluate", "--model", "vit"], "data/vit is missing"),
        (["report"], "data/bert is missing: run `dvc repro prepare@bert` first"),
    ],
)
def test_a_stage_before_its_time_ends_with_the_command_to_run(folder, command, message):
    result = pipeline(folder, *command)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_model_is_refused_with_the_known_ones(folder):
    result = pipeline(folder, "train", "--model", "bret")
    assert result.returncode == 2
    assert "'bret' is not one of 'bert', 'gpt', 'vit', 'g2p'" in result.stderr


def test_the_ui_says_when_its_port_is_taken(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = pipeline(folder, "ui", "--port", str(port))
    assert result.returncode != 0
    assert f"('127.0.0.1', {port}): address already in use" in result.stderr


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_is_wrapped_on_a_terminal_and_whole_elsewhere(folder, terminal):
    text = (folder / "params.yaml").read_text().replace("decay_fraction: 0.5", "decay_fraction: 5")
    (folder / "params.yaml").write_text(text.replace("sequence_length: 20", "sequence_length: 'x'"))
    ours, theirs = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "pipeline", "check"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, stderr=theirs)
    os.close(theirs)
    printed = os.read(ours, 10_000).decode().replace("\r", "")
    os.close(ours)
    assert done.returncode == 2
    assert "should be a valid integer, found str 'x'" in " ".join(printed.split())
    lines = printed.splitlines()
    assert len(lines) > 2  # a line for each error
    if terminal:
        assert max(map(len, lines)) <= WIDTH


def test_a_long_label_fits_the_terminal(folder):
    shutil.copytree(ROOT / "profile", folder / "profile")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    text = (folder / "params.yaml").read_text()
    for key, value, other in (("n_layer", 4, 6), ("sequence_length", 20, 30)):
        text = text.replace(f"{key}: {value}", f"{key}: {other}")
    (folder / "params.yaml").write_text(text)
    printed = pipeline(folder, "check").stdout
    assert " ".join(printed.split()).endswith("model.n_layer=6 bert.data.sequence_length=30)")
    assert len(printed.splitlines()) == 2 and max(map(len, printed.splitlines())) <= WIDTH
