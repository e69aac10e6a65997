"""Finds possible causes of a difference: versions, machine, code."""

import subprocess
from typing import Any

from pipeline import deciding
from pipeline.params import Params
from pipeline.running import records
from pipeline.training import device as devices
from pipeline.training.numerics import same_everywhere


def other_digits(record: dict[str, Any] | None, params: Params) -> list[str]:
    """What makes this environment compute other last digits than that of the report: of device,
    processor and torch those that differ. If none does, the same bits are expected."""
    if record is None:
        return []
    differing = [line.split(":")[0] for line in _compared(record, params)]
    return [key for key in ("device", "processor", "torch") if key in differing]


def differences(record: dict[str, Any] | None, params: Params) -> list[str]:
    """Differences between this environment and that of the report; a line for each."""
    if record is None:
        return ["the report has no record of its machine and versions"]
    found = _compared(record, params)
    cores = records.machine()["cores"]
    if cores < params.threads:
        found.append(f"threads: {params.threads} required, {cores} cores here")
    found += _code(record["git_commit"])
    return found or ["unknown: the versions, the processor and the code are the same"]


def _compared(record: dict[str, Any], params: Params) -> list[str]:
    """What differs of machine, device and versions."""
    here = records.machine()
    device = devices.name(devices.prepare(params.device, params.threads, params.numerics))
    theirs = {"processor": record["machine"]["cpu"], "system": record["machine"]["system"]}
    theirs |= {"device": record["device"], **record["versions"]}
    ours = {"processor": here["cpu"], "system": here["system"], "device": device}
    ours |= records.versions()
    portable = (
        same_everywhere(params.numerics, params.section(name).train) for name in params.model_names
    )
    same = ["processor"] if device == "cpu" and all(portable) else []
    return [
        f"{key}: {theirs[key]} then, {ours.get(key, 'missing')} now"
        for key in theirs
        if ours.get(key) != theirs[key] and key not in same
    ]


def _code(commit: str | None) -> list[str]:
    """Compare the training code with the report's commit; returns at most one line."""
    if commit is None:
        return ["code: the report does not name its commit"]
    plain = commit.removesuffix("-dirty")
    # Without --end-of-options, a report's commit that begins with '-' would be an option of git.
    command = ["git", "diff", "--quiet", "--end-of-options", plain, "--"]
    command += map(str, deciding.files())
    code = subprocess.run(command, capture_output=True).returncode
    if code > 1:
        return [f"code: commit {plain[:12]} is not in this clone"]
    if code == 1:
        return [f"code: not as in commit {plain[:12]}; check it out and verify there"]
    return [f"code: uncommitted changes on {plain[:12]}"] if plain != commit else []
