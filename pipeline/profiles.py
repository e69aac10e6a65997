"""Profiles: files of values that DVC merges into params.yaml, named by their file."""

import difflib
import re
import reprlib
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.yaml_file import flatten

FOLDER = Path("profile")
DEFAULT = "default"  # params.yaml alone
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"  # a file name, and safe in a shell command


def disagreements(values: dict[str, Any], folder: Path = FOLDER) -> list[str]:
    """One line if `profile:` does not match the other values.

    A run may change some values of its profile (`-S +profile=smoke -S gpt.train.steps=5`). If it
    keeps less than half of them, somebody has edited only the name.

    values: of params.yaml, by their paths. folder: of the profiles.

    Raises:
        UserError: the profile's file cannot be read.
    """
    name = values.get("profile")
    if not isinstance(name, str) or not re.match(NAME, name) or name == DEFAULT:
        return []
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join((DEFAULT, *known))}"
        return [f"profile: there is no {folder / name}.yaml; {hint}"]
    laid = overlay(yaml_file.read(folder / f"{name}.yaml"))
    other = [key for key, value in laid.items() if values.get(key) != value]
    if 2 * len(other) <= len(laid):
        return []
    key = other[0]
    here, there = reprlib.repr(values.get(key)), reprlib.repr(laid[key])
    return [
        f"profile: '{name}', but only {len(laid) - len(other)} of the {len(laid)} values in "
        f"{folder / name}.yaml are set ({key} is {here}, expected {there}). The name alone "
        f"changes nothing: write `profile: {DEFAULT}`, and run the profile with "
        f"`dvc exp run -S +profile={name}`"
    ]


def overlay(content: Any) -> dict[str, Any]:
    """The values of a profile's file, by their paths, without its name."""
    values = flatten(content) if isinstance(content, dict) else {}
    values.pop("profile", None)
    return values
