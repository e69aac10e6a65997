"""Each profile is valid and says its own name."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.params import validate
from tests.conftest import ROOT

PROFILES = sorted(file.stem for file in (ROOT / "profile").glob("*.yaml"))


def lay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` merged into `base`, as in Hydra."""
    for key, value in over.items():
        base[key] = lay(base.get(key, {}), value) if isinstance(value, dict) else value
    return base


@pytest.mark.parametrize("name", PROFILES)
def test_the_values_of_a_profile_are_valid_and_have_its_name(raw, name):
    values = YAML(typ="safe", pure=True).load(ROOT / "profile" / f"{name}.yaml")
    assert validate(lay(raw, values)).profile == name
