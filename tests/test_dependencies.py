"""The arrows between packages hold, and dvc.yaml names what a stage depends on."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.parameters import SECTIONS
from pipeline.yaml_file import flatten
from tests.conftest import MODELS, ROOT

# What each package may import, besides itself and what any module may.
ARROWS = {
    "transformer": (),
    "pipeline.parameters": ("transformer",),
    "pipeline.data": ("parameters",),
    "pipeline.training": ("parameters", "transformer"),
    "pipeline.tasks": ("training", "parameters", "params", "transformer"),
    "pipeline.running": ("tasks", "training", "parameters", "params", "deciding"),
    "pipeline.inference": ("training", "data", "provenance", "transformer"),
    "pipeline.views": (
        "tasks", "training", "data", "inference", "results", "provenance", "parameters",
        "transformer",
    ),
    "pipeline.reporting": ("views", "results", "running", "params", "parameters"),
    "pipeline.comparison": ("reporting", "tracking", "results", "deciding", "plots"),
    "pipeline.cli": (
        "stages", "views", "running", "reporting", "comparison", "sweeping", "tracking",
        "verification", "params", "overrides", "reproduction", "repair", "lost_outputs", "plots",
        "ui", "exporting", "training",
    ),
    "pipeline.sweeping": ("running", "params", "overrides"),
    "pipeline.stages": (
        "tasks", "training", "data", "views", "running", "reporting", "tracking", "params",
        "provenance", "reproduction", "results",
    ),
    "pipeline.verification": (
        "stages", "tasks", "training", "running", "reporting", "params", "deciding",
        "reproduction", "results",
    ),
    "pipeline.tracking": (
        "running", "training", "views", "params", "deciding", "reproduction",
    ),
    "pipeline.__main__": ("cli",),
    "pipeline.deciding": ("params",),
    "pipeline.exporting": ("params", "views"),
    "pipeline.lost_outputs": ("repair",),
    "pipeline.mlflow_model": ("views",),
    "pipeline.overrides": ("params",),
    "pipeline.params": ("parameters",),
    "pipeline.plots": (),
    "pipeline.provenance": ("params", "parameters"),
    "pipeline.repair": (),
    "pipeline.reproduction": ("params",),
    "pipeline.results": ("running",),
    "pipeline.ui": ("tracking",),
}  # fmt: skip
# Modules that any package may import: formats, paths, errors.
COMMON = {"curves", "errors", "markup", "paths", "prompts", "wording", "yaml_file"}
DECIDING = ("pipeline/tasks", "pipeline/training", "transformer")
# What these import besides, which decides nothing: types of parameters, and messages.
HARMLESS = ("parameters", "params", *COMMON)


def load(name: str) -> dict:
    return YAML(typ="safe", pure=True).load((ROOT / name).read_text())


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.exists()), None)


def imports(file: Path) -> set[str]:
    """The project's modules that `file` imports, also inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found = {name for name in names if file_of(name)}
            # `from package import module` is an import of the module alone.
            modules |= found if len(found) == len(names) else found | {node.module}
    return {module for module in modules if module.split(".")[0] in ("pipeline", "transformer")}


def package(module: str) -> str:
    """'training' of pipeline.training.loop, 'transformer' of transformer.heads."""
    parts = module.split(".")
    return parts[0] if parts[0] == "transformer" or len(parts) == 1 else parts[1]


def files(module: str) -> list[Path]:
    """Of a package or a single module."""
    path = ROOT / module.replace(".", "/")
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@pytest.mark.parametrize("name", [*ARROWS, *(f"pipeline.{each}" for each in sorted(COMMON))])
def test_a_package_imports_only_what_its_arrow_allows(name):
    common = COMMON if name != "transformer" else ()
    allowed = {package(name), *ARROWS.get(name, ()), *common}
    for file in files(name):
        wrong = {module for module in imports(file) if package(module) not in allowed}
        assert wrong == set(), file.relative_to(ROOT)


def test_every_module_has_its_arrow():
    inside = {package(file_name(file)) for file in (ROOT / "pipeline").rglob("*.py")}
    assert inside - {"pipeline"} == {package(name) for name in ARROWS} - {"transformer"} | COMMON


def file_name(file: Path) -> str:
    """The dotted name of a file of the project: pipeline.paths; of a package's, its folder's."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("folder", ["parameters", "tasks", "views", "cli"])
def test_no_task_imports_another(folder):
    for task in SECTIONS:
        for file in (ROOT / "pipeline" / folder).rglob(f"{task}.py"):
            others = {module.rpartition(".")[2] for module in imports(file)} & {*SECTIONS} - {task}
            assert others == set(), file.relative_to(ROOT)


@pytest.mark.parametrize("name", [name for name in ARROWS if file_of(name).stem == "__init__"])
def test_a_package_says_what_belongs_in_it(name):
    code = ast.parse((ROOT / name.replace(".", "/") / "__init__.py").read_text())
    assert len(ast.get_docstring(code) or "") > 40


def test_what_decides_the_weights_imports_nothing_else_that_does():
    deps = [dep for dep in load("dvc.yaml")["stages"]["train"]["deps"] if "${" not in dep]
    assert sorted(deps) == sorted(DECIDING)
    ours = {package(dep.replace("/", ".")) for dep in DECIDING}
    for folder in DECIDING:
        for file in (ROOT / folder).rglob("*.py"):
            assert {package(module) for module in imports(file)} <= {*ours, *HARMLESS}, file


def named(code: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The strings of a module, and its own identifiers word by word: 'is' and 'bert' of `is_bert`,
    'bert' and 'view' of `BertView`."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(code)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(code):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node
        elif not isinstance(node, ast.alias):
            for key in ("id", "attr", "arg", "name"):
                identifier = getattr(node, key, None)
                if isinstance(identifier, str) and identifier not in imported:
                    yield identifier, node
                    for word in re.findall("[A-Z]?[a-z0-9]+|[A-Z]+", identifier):
                        yield word.lower(), node


@pytest.mark.parametrize(
    "code", ["'vit'", "vit = 1", "x.g2p", "def is_bert(): 0", "class GptView: 0", "f(causal_lm=1)"]
)
def test_a_name_in_any_place_is_found(code):
    assert {*SECTIONS, *MODELS} & {word for word, _ in named(ast.parse(code))}


def test_only_the_files_of_a_task_name_it():
    """A second model or task must not need a change elsewhere."""
    names = {*SECTIONS, *MODELS}
    for file in (ROOT / "pipeline").rglob("*.py"):
        if file.stem in SECTIONS:
            continue
        for word, node in named(ast.parse(file.read_text())):
            assert word not in names, (file, node.lineno)


def test_an_evaluation_imports_only_what_it_computes_with():
    """Each of the others takes a second or more, in a process for each model and seed."""
    code = (
        "import sys, pipeline.stages.evaluate, pipeline.views, pipeline.tasks\n"
        f"for task in {[*SECTIONS]}: pipeline.views.view(task), pipeline.tasks.task_class(task)\n"
        "print(sys.modules.keys() & {'mlflow', 'pandas', 'matplotlib', 'scipy', 'torch._dynamo'})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_every_parameter_is_tracked_by_a_stage_that_does_work():
    stages = load("dvc.yaml")["stages"]
    tracked = {
        param.replace("${item.model}", name)
        for stage in ("prepare", "train", "evaluate")
        for param in stages[stage]["params"]
        for name in MODELS
    }
    # The stages themselves: their matrix. The profile is only a name, which the report prints.
    tracked |= {"model_names", "seeds", "profile"}
    for key in flatten(load("params.yaml")):
        assert any(key == each or key.startswith(f"{each}.") for each in tracked), key


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


# Extras that `./run` does not install.
APART = ("cluster", "team")


def declared(*groups: str) -> set[str]:
    """The distributions of pyproject.toml that `./run` installs for users, and those of further
    groups."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*content["project"]["dependencies"]]
    for name, extra in content["project"]["optional-dependencies"].items():
        wanted += extra if name not in APART else []
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
PARTS = {"voluptuous": "dvc"}
CLUSTER = {"ray"}  # the extra, which need not be installed


def test_direct_dependencies_are_what_the_code_imports():
    found = imported("pipeline", "transformer")
    assert declared() <= set().union(*found)
    assert all(each & (declared() | PARTS.keys() | CLUSTER) for each in found), found
    assert PARTS.keys() <= set().union(*found)
    assert all(each & declared("dev", "benchmarks") for each in imported("benchmarks"))


def locked(path: str) -> set[str]:
    return {line.split("==")[0] for line in (ROOT / path).read_text().splitlines() if "==" in line}


def test_every_direct_dependency_is_locked():
    assert declared("dev") <= locked("requirements.lock")


@pytest.mark.parametrize("name", APART)
def test_an_extra_apart_is_in_its_own_lock_alone(name):
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {*content["project"]["optional-dependencies"][name]}
    wanted |= {*content["dependency-groups"].get(name, ())}
    assert {each.split("[")[0] for each in wanted} <= locked(f"environment/{name}.lock")
    assert not locked(f"environment/{name}.lock") & locked("requirements.lock")
