"""The code has the format, the style and the types that the tools in pyproject.toml ask for."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

TOOLS = {
    "ruff check": ["ruff", "check"],
    "ruff format": ["ruff", "format", "--check"],
    "mypy": ["mypy"],
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_tool_finds_nothing(name):
    command = [sys.executable, "-m", *TOOLS[name]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
