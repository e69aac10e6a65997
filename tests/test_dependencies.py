"""dvc.yaml matches the code: each stage lists its imports as deps, and its parameters."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.params import flatten
from tests.conftest import ROOT

PACKAGES = ("pipeline", "transformer")
STAGES = ("prepare", "train", "evaluate", "report")


def load(name: str) -> dict:
    return YAML(typ="safe", pure=True).load((ROOT / name).read_text())


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.exists()), None)


def imports(file: Path) -> set[Path]:
    """The project's files that `file` imports, also inside functions, with their packages."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {module for module in modules if module.split(".")[0] in PACKAGES}
    parents = {".".join(m.split(".")[:n]) for m in ours for n in range(1, m.count(".") + 2)}
    return {found for module in parents if (found := file_of(module))}


def reached(stage: str) -> set[Path]:
    """All files that `python -m pipeline <stage>` may import."""
    # The command line imports stages on demand, so its imports are not followed.
    files = {file_of("pipeline.cli")}
    start = ("__main__", "params", "stages", f"stages.{stage}")
    open_ = [file_of(f"pipeline.{module}") for module in start]
    while open_:
        file = open_.pop()
        if file not in files:
            files.add(file)
            open_ += imports(file)
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_what_a_stage_imports(stage):
    definition = load("dvc.yaml")["stages"][stage]
    deps = [ROOT / dep for dep in definition["deps"] if "${" not in dep]
    # Files in .dvcignore are no dependencies.
    lines = (ROOT / ".dvcignore").read_text().splitlines()
    ignored = [ROOT / line.strip("/") for line in lines if line.startswith("/")]
    uncovered = {
        str(file.relative_to(ROOT))
        for file in reached(stage)
        if not any(file == dep or dep in file.parents for dep in deps)
        or any(folder in file.parents for folder in ignored)
    }
    assert uncovered == set()


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_needed(stage):
    """An unused dependency would run the stage for nothing."""
    definition = load("dvc.yaml")["stages"][stage]
    files = reached(stage)
    # MLflow gets this file by its path.
    files |= {ROOT / "pipeline/mlflow_model.py"} if stage == "train" else set()
    for dep in definition["deps"]:
        if dep.split("/")[0] in PACKAGES:
            path = ROOT / dep
            assert any(file == path or path in file.parents for file in files), dep


def test_every_parameter_is_tracked_by_a_stage_that_does_work():
    stages = load("dvc.yaml")["stages"]
    tracked = {
        param.replace("${item.model}", name)
        for stage in ("prepare", "train", "evaluate")
        for param in stages[stage]["params"]
        for name in load("dvc.yaml")["vars"][0]["models"]
    }
    tracked |= {"profile"}  # only a name, which the report prints
    for key in flatten(load("params.yaml")):
        assert any(key == each or key.startswith(f"{each}.") for each in tracked), key


def test_the_model_knows_nothing_of_the_pipeline():
    for file in (ROOT / "transformer").rglob("*.py"):
        assert not any("pipeline" in found.parts for found in imports(file)), file


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared(*groups: str) -> set[str]:
    """The distributions of pyproject.toml that a user installs with all extras, and those of
    further groups."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*content["project"]["dependencies"]]
    for extra in content["project"]["optional-dependencies"].values():
        wanted += extra
    wanted += [each for group in groups for each in content["dependency-groups"][group]]
    return {normal(re.match(r"[\w.-]+", each).group()) for each in wanted}


def imported(*folders: str) -> list[set[str]]:
    """Of each module that the files in these folders import, the distributions that it is in."""
    modules = set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    found = packages_distributions()
    return [set(map(normal, found[module])) for module in modules if module in found]


# What belongs to a dependency: the types of its errors.
PARTS = {"pydantic-core": "pydantic", "voluptuous": "dvc"}


def test_direct_dependencies_are_what_the_code_imports():
    found = imported("pipeline", "transformer")
    assert declared() <= set().union(*found)
    assert all(each & (declared() | PARTS.keys()) for each in found), found
    assert PARTS.keys() <= set().union(*found)
    assert all(each & (declared("dev") | PARTS.keys()) for each in imported("benchmarks"))


def test_every_direct_dependency_is_locked():
    lines = (ROOT / "requirements.lock").read_text().split()
    assert declared("dev") <= {line.split("==")[0] for line in lines}
