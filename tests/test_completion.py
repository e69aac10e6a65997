"""The console script of the environment, and what bash completes for it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.cli import PROGRAM, main
from tests import repository
from tests.conftest import MODELS, ROOT
from tests.test_run import clone, clone_with_an_environment

# What bash does at Tab: it calls the function that `complete` has registered.
TAB = """
set -eo pipefail
eval "$({program} completion bash)"
complete -p {program} | grep -q ' -F _transformer_benchmark_completion '
COMP_WORDS=({program} {words}) COMP_CWORD={position}
_transformer_benchmark_completion {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = clone_with_an_environment(tmp_path_factory.mktemp("project") / "clone")
    repository.run(folder, "./run", "true")
    return folder


def activated(folder: Path, script: str, code: int = 0) -> str:
    """What bash prints after `source .venv/bin/activate`."""
    path = f"export PATH={folder}/.venv/bin:$PATH\n"
    return repository.run(folder, "bash", "-c", path + script, code=code)


def completed(folder: Path, *words: str) -> list[str]:
    quoted = " ".join(words) + (" ''" if not words[-1] else "")
    script = TAB.format(program=PROGRAM, words=quoted, position=len(words))
    return activated(folder, script).split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ver"], ["verify"]),
        (["e"], ["evaluate", "export"]),
        ([""], sorted(name for name, command in main.commands.items() if not command.hidden)),
        (["train", "--mo"], ["--model"]),
        (["train", "--model", ""], list(MODELS)),
        (["verify", "--"], ["--model", "--steps", "--all", "--report", "--help"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes_commands_options_and_models(project, words, expected):
    assert sorted(completed(project, *words)) == sorted(expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script_that_asks_the_program(project, shell):
    script = activated(project, f"{PROGRAM} completion {shell}")
    assert f"_TRANSFORMER_BENCHMARK_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_the_console_script_is_the_same_program(project):
    ours = activated(project, f"{PROGRAM} -h")
    assert ours.startswith(f"Usage: {PROGRAM} [OPTIONS] COMMAND")
    theirs = activated(project, "python -m pipeline -h")
    assert ours.splitlines()[1:] == theirs.splitlines()[1:]
    assert activated(project, f"{PROGRAM} train --model bret", code=2).startswith("Usage: ")


def test_outside_of_a_project_it_says_where_it_runs(project, tmp_path):
    away = f"cd {tmp_path} && "
    said = activated(project, f"{away}{PROGRAM} check", code=1)
    assert said == f"error: {PROGRAM} runs in the folder of the project\n"
    # And nothing at Tab.
    assert activated(project, f"{away}_TRANSFORMER_BENCHMARK_COMPLETE=x {PROGRAM}", code=1) == ""


def test_a_linked_environment_is_left_alone(tmp_path):
    """It belongs to another clone, whose `./run` keeps it."""
    folder = clone(tmp_path / "clone")
    (folder / "environment" / PROGRAM).write_text("another version")
    repository.run(folder, "./run", "true")
    script = Path(sys.prefix) / "bin" / PROGRAM
    assert not script.exists() or script.read_text() != "another version"


def test_an_installed_package_has_the_same_script():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {PROGRAM: "pipeline.cli:main"}
