"""The docstrings of both packages say shapes and errors: measured from their source.

That all that is public has one is a rule of ruff, see pyproject.toml.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted(file for name in ("pipeline", "transformer") for file in (ROOT / name).rglob("*.py"))
ERRORS = {"ValueError", "ModuleNotFoundError", "UserError", "ParamsError"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
# (B, T), (T,), (1, 1, d), (..., T, d); or one number; or the same as elsewhere.
SHAPE = re.compile(
    r"\((?:[A-Za-z_0-9.]+(?: [*+/] [a-z0-9_]+)*, ?)+(?:[A-Za-z_0-9.]+(?: [*+/] [a-z0-9_]+)*)?\)"
    r"|\bscalars?\b|\bof any shape\b|\bas (?:it is|they are|in|there)\b|\bsee `|\b[Ll]ike `"
)
TENSOR = re.compile(r"\bTensor\b")


def functions(tree: ast.AST, inside: ast.ClassDef | None = None) -> Iterator[tuple]:
    """The public functions and methods of a module, each with its class. Leaves out commands, which
    print the errors, and methods without a docstring: a base class has it."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node, node)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            command = "reports_errors" in map(ast.unparse, node.decorator_list)
            if not command and ast.get_docstring(node):
                yield node, inside


def signature(function: Function) -> str:
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    notes = [each.annotation for each in arguments] + [function.returns]
    return " ".join(ast.unparse(note) for note in notes if note)


def raised(node: ast.AST) -> set[str]:
    """The errors that the code itself raises and does not catch, not those of what it calls."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return {ast.unparse(node.exc.func)}
    if not isinstance(node, ast.Try):
        return set().union(*map(raised, ast.iter_child_nodes(node)))
    caught = {ast.unparse(name) for handler in node.handlers for name in ast.walk(handler.type)}
    inside = set() if "Exception" in caught else set().union(*map(raised, node.body)) - caught
    return inside.union(*map(raised, [*node.handlers, *node.orelse, *node.finalbody]))


def documented(file: Path) -> Iterator[tuple]:
    return functions(ast.parse(file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_say_the_shapes_of_their_tensors(file):
    for function, inside in documented(file):
        said = ast.get_docstring(function) + ((inside and ast.get_docstring(inside)) or "")
        if TENSOR.search(signature(function)) and "dict[str, Tensor]" not in signature(function):
            assert SHAPE.search(said), function.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_name_the_errors_that_they_raise(file):
    for function, _ in documented(file):
        _, _, said = ast.get_docstring(function).partition("Raises:")
        for error in raised(function) & ERRORS:
            assert f"{error}: " in said, function.name
