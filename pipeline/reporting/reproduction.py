"""The command that repeats a run: its profile, and what was changed beside it."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import yaml_file
from pipeline.params import Params, flatten

PROFILES = Path("profile")
# Strings that need no quotes: what does not look like a number, a list or a keyword.
PLAIN = re.compile(r"(?!(?:true|false|null|inf|nan)$)[A-Za-z_][\w./-]*", re.IGNORECASE | re.ASCII)


def command(params: Params, commit: str | None) -> list[str]:
    """Shell lines that check the code out and run it with these parameters."""
    lines = []
    if commit:
        lines.append(f"git checkout {commit.removesuffix('-dirty')}")
    flags = _flags(params)
    lines.append(f"dvc exp run {' '.join(flags)}" if flags else "dvc repro")
    return lines


def _flags(params: Params) -> list[str]:
    profile = [] if params.profile == "default" else [f"-S +profile={params.profile}"]
    base = _base(params.profile)
    if base is None:
        return profile
    ours = flatten(params.model_dump(exclude_none=True))
    changed = {key: value for key, value in ours.items() if base.get(key) != value}
    changed.pop("profile", None)
    overrides = [shlex.quote(f"{key}={_text(value)}") for key, value in changed.items()]
    return profile + [f"-S {override}" for override in overrides]


def _base(profile: str) -> dict[str, Any] | None:
    """The committed parameters with the profile laid over them; None outside of git."""
    show = ["git", "show", "HEAD:./params.yaml"]
    committed = subprocess.run(show, capture_output=True, text=True)
    if committed.returncode:
        return None
    yaml = YAML(typ="safe", pure=True)
    base = flatten(yaml.load(committed.stdout))
    overlay = PROFILES / f"{profile}.yaml"
    if overlay.exists():
        base |= flatten(yaml_file.read(overlay))
    return base


def _text(value: Any) -> str:
    """A value in the grammar of `-S`, which is Hydra's."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        # A backslash counts only before a quote, and then each of them does.
        return "'" + re.sub(r"(\\*)('|$)", _escape, value) + "'"
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)


def _escape(found: re.Match[str]) -> str:
    return found[1] * 2 + ("\\'" if found[2] else "")
