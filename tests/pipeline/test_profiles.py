"""The name of a profile must agree with the values of params.yaml."""

import copy
import shutil
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.errors import ParamsError
from pipeline.params import load
from tests.conftest import ROOT

PROFILES = sorted(file.stem for file in (ROOT / "profile").glob("*.yaml"))


def lay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` merged into `base`, as in Hydra."""
    for key, value in over.items():
        base[key] = lay(base[key], value) if isinstance(value, dict) else copy.copy(value)
    return base


@pytest.fixture
def check(project, raw):
    """Load params.yaml with changes of the default; returns its profile."""
    shutil.copytree(ROOT / "profile", project / "profile")

    def write_and_load(*over: dict[str, Any]) -> str:
        content = copy.deepcopy(raw)
        for each in over:
            lay(content, each)
        YAML().dump(content, project / "params.yaml")
        return load().profile

    return write_and_load


def read(name: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(ROOT / "profile" / f"{name}.yaml")


@pytest.mark.parametrize("name", PROFILES)
def test_a_name_that_was_edited_alone_is_refused_with_the_command_that_runs_it(check, name):
    with pytest.raises(ParamsError, match="1 error") as caught:
        check({"profile": name})
    said = str(caught.value)
    assert f"profile: '{name}', but only " in said
    assert f"run the profile with `dvc exp run -S +profile={name}`" in said


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("other", PROFILES)
def test_the_values_of_a_profile_go_by_its_own_name_alone(check, name, other):
    if name == other:
        assert check(read(name)) == name
        return
    with pytest.raises(ParamsError, match=f"profile: '{other}', but only"):
        check(read(name), {"profile": other})


def test_a_profile_may_be_changed_in_some_values(check):
    assert check(read("smoke"), {"gpt": {"train": {"steps": 30}}}) == "smoke"
    few = {"model": {"n_layer": 1, "n_head": 1}, "bert": {"train": {"batch_size": 8}}}
    assert check(read("smoke"), few) == "smoke"


def test_a_name_without_a_profile_is_refused(check):
    with pytest.raises(ParamsError, match=r"there is no profile/smok\.yaml; did you mean 'smoke'"):
        check({"profile": "smok"})
    with pytest.raises(ParamsError, match="known: default, record, reference, smoke"):
        check({"profile": "overnight"})


def test_it_is_told_along_with_all_other_errors(check):
    with pytest.raises(ParamsError, match="2 errors"):
        check({"profile": "smoke", "threads": 0})


def test_a_profile_of_ones_own(check, project):
    (project / "profile" / "mine.yaml").write_text("# @package _global_\nthreads: 1\n")
    assert check({"profile": "mine", "threads": 1}) == "mine"
    with pytest.raises(ParamsError, match=r"only 0 of the 1 values in .*profile/mine.yaml are set"):
        check({"profile": "mine"})


@pytest.mark.parametrize("content", ["a: [", "- 1", ""])
def test_a_file_that_is_no_profile(check, project, content):
    (project / "profile" / "mine.yaml").write_text(content)
    if content == "a: [":
        with pytest.raises(ParamsError, match=r"mine\.yaml, line 1"):
            check({"profile": "mine"})
    else:  # it sets nothing, so nothing can differ
        assert check({"profile": "mine"}) == "mine"


@pytest.mark.parametrize("name", PROFILES)
def test_the_file_of_a_profile_says_its_name(name):
    """params.yaml gets the name from there."""
    assert read(name)["profile"] == name
