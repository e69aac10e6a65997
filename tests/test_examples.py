"""The examples are short, need the library alone, and learn what they say."""

import ast
import math
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
COUNTS = Counter((ROOT / "README.md").read_bytes())
# In nats, the loss of a model that knows only how often each byte or class occurs; for signs of
# numerals, of one that knows nothing.
BYTES = -sum(n / COUNTS.total() * math.log(n / COUNTS.total()) for n in COUNTS.values())
CLASSES = math.log(4)
SIGNS = math.log(8)
ENOUGH = {
    "bert.py": BYTES - 0.3,
    "encoder_decoder.py": SIGNS - 1.5,
    "gpt.py": BYTES - 1.0,
    "vit.py": CLASSES - 0.8,
}


def test_there_is_one_for_each_model():
    assert [path.name for path in EXAMPLES] == list(ENOUGH)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_is_short_and_imports_the_library_alone(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    modules = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    assert modules - set(sys.stdlib_module_names) == {"torch", "transformer"}


@pytest.mark.long
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_learns(path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    losses = [float(found) for found in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert sum(losses[-2:]) / 2 < ENOUGH[path.name] < losses[0]
