"""Entries of dvc.lock whose outputs are not here, while this machine has its own of equal inputs.

A committed dvc.lock names the outputs of the machine that made it. Where bits differ (`numerics:
fast` on another processor, a GPU), the first run of a clone makes others. `git restore .` brings
the committed dvc.lock back, and DVC, which then sees no change of inputs, would train again for
outputs that nobody has, instead of asking its run cache. Without the entry it does ask.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.errors import UserError
from pipeline.paths import replacing
from pipeline.repair import GUARD, RESULTS, locked


def forget() -> list[str]:
    """Remove such entries from dvc.lock; returns a message for each.

    Raises:
        UserError: another DVC is running, or a file cannot be read.
    """
    from dvc.config import Config
    from dvc.utils.serialize import dump_yaml

    cache = Path(Config.from_cwd()["cache"].get("dir", Path(".dvc") / "cache"))
    if not RESULTS.exists() or not (cache / "runs").exists():
        return []
    content = yaml_file.read(RESULTS)
    lost = {name: entry for name, entry in content["stages"].items() if not _has(cache, entry)}
    own = _own(cache, {entry["cmd"] for entry in lost.values()}) if lost else []
    gone = [name for name, entry in lost.items() if _inputs(entry) in own]
    if not gone:
        return []
    with locked(RESULTS, GUARD), replacing(RESULTS) as fresh:
        kept = {name: e for name, e in content["stages"].items() if name not in gone}
        dump_yaml(fresh, content | {"stages": kept})
    return [
        f"{RESULTS}: left out {name}, whose outputs were made on another machine; "
        "this one's are in DVC's cache"
        for name in gone
    ]


def _has(cache: Path, entry: dict[str, Any]) -> bool:
    """Whether all outputs of an entry are in DVC's cache."""
    sums = [out.get("md5", "") for out in entry.get("outs", [])]
    return all((cache / "files" / "md5" / md5[:2] / md5[2:]).is_file() for md5 in sums)


def _own(cache: Path, commands: set[str]) -> list[dict[str, Any]]:
    """The inputs of this machine's runs of some commands whose outputs are in DVC's cache."""
    found = []
    for file in (cache / "runs").glob("*/*/*"):
        with suppress(UserError):  # a killed DVC may leave a part of a file
            run = yaml_file.read(file) or {}
            if run.get("cmd") in commands and _has(cache, run):
                found.append(_inputs(run))
    return found


def _inputs(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of dvc.lock or of the run cache without the checksums of its outputs."""
    return entry | {"outs": [out["path"] for out in entry.get("outs", [])]}
