"""The command in the report: what git has, its profile, and what was changed beside."""

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.errors import ParamsError
from pipeline.params import load
from pipeline.reporting import reproduction
from tests.conftest import ROOT


@pytest.fixture
def clone(project):
    """A repository with the committed parameters."""
    shutil.copy(ROOT / "params.yaml", project)
    shutil.copytree(ROOT / "profile", project / "profile")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    return project


def change(path, value):
    yaml, file = YAML(), Path("params.yaml")
    content = yaml.load(file)
    section = content
    *sections, key = path.split(".")
    for name in sections:
        section = section[name]
    section[key] = value
    yaml.dump(content, file)


def test_the_default(clone):
    assert reproduction.command(load(), "abc") == ["git checkout abc", "dvc repro"]
    assert reproduction.command(load(), "abc-dirty") == ["git checkout abc", "dvc repro"]


def test_changes_become_flags(clone):
    change("model.n_layer", 6)
    change("bert.train.betas", [0.8, 0.9])
    change("model.qk_norm", True)
    assert reproduction.command(load(), None) == [
        "dvc exp run -S model.n_layer=6 -S model.qk_norm=true "
        "-S 'bert.train.betas=[0.8,0.9]'"
    ]


def test_a_profile_is_named_and_what_differs_from_it_as_well(clone):
    profile = YAML(typ="safe", pure=True).load((clone / "profile" / "smoke.yaml").read_text())

    def lay(tree, prefix=""):
        for key, value in tree.items():
            if isinstance(value, dict):
                lay(value, f"{prefix}{key}.")
            else:
                change(f"{prefix}{key}", value)

    lay(profile)
    assert reproduction.command(load(), None) == ["dvc exp run -S +profile=smoke"]
    change("gpt.train.lr", 0.5)
    flags = "dvc exp run -S +profile=smoke -S gpt.train.lr=0.5"
    assert reproduction.command(load(), None) == [flags]


def test_outside_of_git(project):
    shutil.copy(ROOT / "params.yaml", project)
    assert reproduction.command(load(), None) == ["dvc repro"]


@pytest.mark.parametrize(
    "path",
    [
        "data/own/my novel.txt",
        "it's.txt",
        "$(touch hacked).txt",
        "a;b|c&d.txt",
        "`id`.txt",
        "back\\slash\\'quote.txt",
        "ends in \\",
        "[a,b]",
        "{a:b}",
        "true",
        "1e5",
        "2024",
        "ä=ö, ü",
        '"quoted"',
    ],
)
def test_a_path_comes_through_shell_and_dvc_as_it_is(clone, path):
    """What the report prints is what a person pastes: read by the shell, then by DVC's parser."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    change("gpt.data.text", path)
    (line,) = reproduction.command(load(), None)
    printed = subprocess.check_output(["sh", "-c", f"set -- {line}; printf '%s\\0' \"$@\""])
    words = printed.decode().split("\0")
    assert words[:4] == ["dvc", "exp", "run", "-S"]
    assert len(words) == 6  # the flag's value, and the rest after the last NUL
    (override,) = OverridesParser.create().parse_overrides([words[4]])
    assert override.key_or_group == "gpt.data.text"
    assert override.value() == path
    assert not (clone / "hacked").exists()


def test_a_profile_is_a_name_and_no_command(clone):
    change("profile", "x; touch hacked")
    with pytest.raises(ParamsError, match="profile: string should match pattern"):
        load()
