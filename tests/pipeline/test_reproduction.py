"""The command in the report repeats the parameters of the run after any changes."""

import copy
import random
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import compose_and_dump, to_hydra_overrides
from pydantic import BaseModel
from ruamel.yaml import YAML

from pipeline.errors import ParamsError
from pipeline.parameters import SECTIONS, base
from pipeline.params import SHARED, Params, load
from pipeline.reproduction import reproduction
from pipeline.yaml_file import flatten
from tests.conftest import MODELS, ROOT

PROFILES = ("default", "record", "reference", "smoke")
CHANGES = 48  # random sets of changes; Hydra needs about 100 ms for each


# The values of keys with few values, by the name of the key.
def parts() -> list[type[BaseModel]]:
    """The sections inside those of the models, however deep."""
    found: list[type[BaseModel]] = list(SECTIONS.values())
    for section in found:
        inner = (field.annotation for field in section.model_fields.values())
        found += [each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)]
    return found


CHOICES = {
    key: get_args(field.annotation)
    for section in (Params, base.Training, *parts())
    for key, field in section.model_fields.items()
    if get_origin(field.annotation) is Literal
}


@pytest.fixture
def clone(project):
    """A repository with the committed parameters."""
    shutil.copy(ROOT / "params.yaml", project)
    shutil.copytree(ROOT / "profile", project / "profile")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "one")
    return project


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
                   cwd=folder, check=True, capture_output=True)  # fmt: skip


def change(path: str, value: Any) -> None:
    """Edit params.yaml; None removes the key."""
    yaml, file = YAML(), Path("params.yaml")
    content = yaml.load(file)
    put(content, path, value)
    yaml.dump(content, file)


def put(content: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for name in sections:
        content = content[name]
    if value is None:
        del content[key]
    else:
        content[key] = value


def printed() -> str:
    """The last line of the report's command."""
    return reproduction(load()).command(None)[-1]


def overrides(line: str) -> list[str]:
    """The arguments of `-S` after a shell has parsed the line."""
    script = f"set -- {line}; printf '%s\\0' \"$@\""
    words = subprocess.check_output(["sh", "-c", script]).decode().split("\0")[:-1]
    if words == ["dvc", "repro"]:
        return []
    assert words[:3] == ["dvc", "exp", "run"] and set(words[3::2]) == {"-S"}
    return words[4::2]


def composed(folder: Path, given: list[str]) -> dict[str, Any]:
    """The content of params.yaml in `folder` after DVC has applied the overrides."""
    given = to_path_overrides(given).get("params.yaml", [])
    assert not any(override.is_sweep_override() for override in to_hydra_overrides(given))
    file = folder / "composed.yaml"
    compose_and_dump(str(file), str(folder), None, "params", "", given)
    return YAML(typ="safe", pure=True).load(file)


def test_the_default_is_run_by_dvc_repro(clone):
    assert reproduction(load()).command(None) == ["dvc repro"]
    assert reproduction(load()).label == "default"
    lines = reproduction(load()).command("abc")
    bare = [line.split("  #")[0] for line in lines]
    assert bare == ["git stash", "git checkout abc", "dvc repro"]


def test_code_that_no_commit_has_is_said_to_be(clone):
    lines = reproduction(load()).command("abc-dirty")
    assert lines[0] == "# The code had changes that are not in the commit."
    assert "git checkout abc" in lines


def test_the_lines_bring_back_a_params_yaml_that_has_been_changed_since(clone):
    change("model.n_layer", 6)
    *prepare, _ = reproduction(load()).command("HEAD")
    change("model.n_head", 2)
    subprocess.run("\n".join(prepare), shell=True, check=True, capture_output=True,
                   env={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_NAME": "a", "GIT_AUTHOR_NAME": "a",
                        "GIT_COMMITTER_EMAIL": "a@b", "GIT_AUTHOR_EMAIL": "a@b"})  # fmt: skip
    assert Path("params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_changes_become_flags(clone):
    change("model.n_layer", 6)
    change("train.betas", [0.8, 0.9])
    change("model.qk_norm", True)
    expected = "dvc exp run -S model.n_layer=6 -S model.qk_norm=true -S 'train.betas=[0.8,0.9]'"
    assert printed() == expected


def test_keys_that_were_added_and_removed_are_marked_as_such(clone):
    change("bert.model.n_layer", 2)
    change("gpt.model.dropout", None)
    assert printed() == "dvc exp run -S +bert.model.n_layer=2 -S '~gpt.model.dropout'"


def test_a_profile_is_named_and_what_differs_from_it_as_well(clone):
    for path, value in flatten(profile("smoke")).items():
        change(path, value)
    assert printed() == "dvc exp run -S +profile=smoke"
    assert reproduction(load()).label == "smoke"
    change("gpt.train.lr", 0.5)
    assert printed() == "dvc exp run -S +profile=smoke -S gpt.train.lr=0.5"
    assert reproduction(load()).label == "smoke, changed: gpt.train.lr=0.5"


def test_a_label_of_many_changes_tells_their_number(clone):
    for path in ("model.n_layer", "bert.train.steps", "gpt.train.steps", "vit.train.epochs"):
        change(path, 99)
    assert reproduction(load()).label == "default, 4 values changed"


def test_a_profile_that_is_in_no_commit_is_not_relied_on(clone):
    (clone / "profile" / "mine.yaml").write_text("# @package _global_\nmodel:\n  n_layer: 2\n")
    change("profile", "mine")
    change("model.n_layer", 2)
    assert reproduction(load()).label == "default, changed: model.n_layer=2"
    assert printed() == "dvc exp run -S model.n_layer=2"


def profile(name: str) -> dict[str, Any]:
    if name == "default":
        return {}
    return YAML(typ="safe", pure=True).load(ROOT / "profile" / f"{name}.yaml")


def test_the_command_gives_the_same_parameters_after_any_changes(clone, raw):
    """With DVC's own code for `-S`, for many random changes of each profile."""
    dice = random.Random(0)
    overriding = [f"{name}.{part}.{key}" for name in MODELS for part in SHARED for key in raw[part]]
    for number in range(CHANGES):
        name = PROFILES[number % len(PROFILES)]
        content = copy.deepcopy(raw)
        for path, value in flatten(profile(name)).items():
            put(content, path, value)
        paths = sorted({*overriding, *flatten(content)} - {"profile"})
        for path in dice.sample(paths, dice.randrange(20)):
            there = flatten(content).get(path)
            if path in overriding and there is not None and dice.random() < 0.5:
                put(content, path, None)
            else:
                key = path.split(".")[-1]
                like = raw[path.split(".")[-2]][key] if there is None else there
                put(content, path, another(dice, key, like))
        content["gpt"]["data"]["text"] = hostile(dice)
        # Without checks between keys, which random values would seldom pass.
        found = reproduction(Params.model_construct(profile=content["profile"], raw=content))
        assert composed(clone, overrides(found.command(None)[-1])) == content, found
        assert found.label.split(",")[0] == name


def another(dice: random.Random, key: str, value: Any) -> Any:
    """Another valid value for the key, of the same type."""
    if key in CHOICES:
        return dice.choice(CHOICES[key])
    if key in ("mixup", "cutmix"):  # small values are refused
        return dice.choice([0.01, 0.5, 1e-2 + dice.random()])
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return dice.randrange(1, 200)
    if isinstance(value, float):
        return dice.choice([1e-05, 0.5, dice.random() * 10 ** -dice.randrange(1, 12)])
    if key == "betas":
        return [dice.random(), 0.5]
    if key in ("model_names", "seeds"):
        return dice.sample({"model_names": MODELS, "seeds": range(9)}[key], 2)
    return hostile(dice)


def hostile(dice: random.Random) -> str:
    """A file name with special characters of shells and Hydra."""
    letters = ["a", "/", ".", "\\", "'", '"', "$", "{", "}", "[", "]", "(", ")", ",",
               ":", "=", "~", "+", "*", " ", "\n", "\t", "#", "&", ";", "`", "!", "%", "ä", "中",
               "null", "true", "1e5", "0", "-", "oc.env:HOME"]  # fmt: skip
    return "".join(dice.choices(letters, k=dice.randrange(1, 9))).replace("${", "$")


def test_a_name_runs_no_command(clone):
    change("gpt.data.text", "$(touch hacked).txt")
    assert overrides(printed()) == ["gpt.data.text='$(touch hacked).txt'"]
    assert not (clone / "hacked").exists()
    change("profile", "x; touch hacked")
    with pytest.raises(ParamsError, match="profile: string should match pattern"):
        load()


def test_outside_of_git_the_parameters_themselves_are_what_there_is(project):
    shutil.copy(ROOT / "params.yaml", project)
    found = reproduction(load())
    assert found.command(None) == ["# with params.yaml as shown above", "dvc repro"]
    assert re.match(r"default \(changes unknown", found.label)


def test_a_committed_params_yaml_that_is_none_is_no_base(clone):
    whole = Path("params.yaml").read_text()
    for broken in ("a: [", "- a list", ""):
        Path("params.yaml").write_text(broken)
        git(clone, "commit", "-aqm", "broken")
        Path("params.yaml").write_text(whole)
        assert reproduction(load()).changes is None


def test_shell_and_hydra_agree_on_the_lines_of_a_report(clone):
    """Hydra can parse each override separately."""
    change("bert.model.n_layer", 2)
    change("gpt.data.text", "it's.txt")
    for override in shlex.split(printed())[4::2]:
        (parsed,) = to_hydra_overrides([override])
        assert parsed.get_key_element().lstrip("+~") in ("bert.model.n_layer", "gpt.data.text")
