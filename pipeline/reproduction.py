"""How to repeat a run: its profile, its changed parameters, and the command."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.params import Params
from pipeline.paths import PARAMS
from pipeline.yaml_file import flatten

DEFAULT = "default"  # the profile of params.yaml alone
PROFILES = Path("profile")  # files of values that DVC merges into params.yaml
NAMED = 3  # most changes in a label; otherwise it has their number
# Strings without quotes: those that are not a number, a list or a keyword.
PLAIN = re.compile(r"(?!(?:true|false|null|inf|nan)$)[A-Za-z_][\w./-]*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Reproduction:
    """The parameters of the run, compared with the commit.

    profile: the profile; 'default' is params.yaml as committed.
    changes: further overrides, as arguments of `-S`; None if no commit has a params.yaml.
    """

    profile: str
    changes: list[str] | None

    @property
    def label(self) -> str:
        """The profile and its changes, in short."""
        if self.changes is None:
            return f"{self.profile} (changes unknown: no commit has a params.yaml)"
        if not self.changes:
            return self.profile
        if len(self.changes) <= NAMED:
            return f"{self.profile}, changed: {' '.join(self.changes)}"
        return f"{self.profile}, {len(self.changes)} values changed"

    def command(self, commit: str | None) -> list[str]:
        """Shell lines that check out the code and run it with the same parameters."""
        if self.changes is None:
            return ["# with params.yaml as shown above", "dvc repro"]
        lines = []
        if commit:
            if commit.endswith("-dirty"):
                lines.append("# The code had changes that are not in the commit.")
            lines += ["git stash  # the overrides below start from the commit's values"]
            lines += [f"git checkout {commit.removesuffix('-dirty')}"]
        profile = [] if self.profile == DEFAULT else [f"+profile={self.profile}"]
        flags = [f"-S {shlex.quote(override)}" for override in profile + self.changes]
        lines.append(f"dvc exp run {' '.join(flags)}" if flags else "dvc repro")
        return lines


def reproduction(params: Params) -> Reproduction:
    """Compare the parameters with the committed ones."""
    committed = _committed(PARAMS)
    if not isinstance(committed, dict):
        return Reproduction(params.profile, None)
    base, profile = flatten(committed), DEFAULT
    if params.profile != profile:
        laid = _committed(PROFILES / f"{params.profile}.yaml")
        if isinstance(laid, dict):
            base, profile = base | flatten(laid), params.profile
    ours = flatten(params.content())
    for values in (base, ours):
        values.pop("profile", None)
    changes = [
        f"{'' if key in base else '+'}{key}={_text(value)}"
        for key, value in ours.items()
        if key not in base or base[key] != value
    ]
    return Reproduction(profile, changes + [f"~{key}" for key in base if key not in ours])


def _committed(file: Path) -> Any:
    """The content of a YAML file in the commit; None if it is missing, or not YAML."""
    found = subprocess.run(["git", "show", f"HEAD:./{file}"], capture_output=True)
    try:
        return YAML(typ="safe", pure=True).load(found.stdout) if found.returncode == 0 else None
    except YAMLError:
        return None


def _text(value: Any) -> str:
    """A value in the grammar of `-S` (Hydra's)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        from hydra.core.override_parser.types import Quote, QuotedString

        return QuotedString(value, Quote.single).with_quotes()
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)
