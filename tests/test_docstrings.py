"""The docstrings of the library say shapes and errors: measured from its source.

That all that is public has one is a rule of ruff, see pyproject.toml.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

FILES = sorted((ROOT / "transformer").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
# (B, T), (T,), (1, 1, d), (..., T, d); or one number; or the same as elsewhere.
SHAPE = re.compile(
    r"\((?:[A-Za-z_0-9.]+(?: [*+/] [a-z0-9_]+)*, ?)+(?:[A-Za-z_0-9.]+(?: [*+/] [a-z0-9_]+)*)?\)"
    r"|\bscalars?\b|\bof any shape\b|\bas (?:it is|they are|in|there)\b|\bsee `|\b[Ll]ike `"
)
TENSOR = re.compile(r"\bTensor\b")


def functions(tree: ast.AST, inside: ast.ClassDef | None = None) -> Iterator[tuple]:
    """The public functions and methods of a module, each with its class."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node, node)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield node, inside


def signature(function: Function) -> str:
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    notes = [each.annotation for each in arguments] + [function.returns]
    return " ".join(ast.unparse(note) for note in notes if note)


def raised(function: Function) -> set[str]:
    """The errors that a function itself raises, not those of functions inside it."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func))
    return found


def documented() -> list:
    return [
        pytest.param(function, inside, id=f"{file.relative_to(ROOT)}:{function.name}")
        for file in FILES
        for function, inside in functions(ast.parse(file.read_text()))
    ]


@pytest.mark.parametrize(("function", "inside"), documented())
def test_it_says_the_shapes_of_its_tensors(function, inside):
    said = (ast.get_docstring(function) or "") + (ast.get_docstring(inside) or "" if inside else "")
    if TENSOR.search(signature(function)) and "dict[str, Tensor]" not in signature(function):
        assert SHAPE.search(said)


@pytest.mark.parametrize(("function", "inside"), documented())
def test_it_names_the_errors_that_it_raises(function, inside):
    _, _, said = (ast.get_docstring(function) or "").partition("Raises:")
    for error in raised(function) & {"ValueError", "ModuleNotFoundError"}:
        assert f"{error}: " in said
