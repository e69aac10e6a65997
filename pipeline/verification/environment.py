"""What may explain that a training comes out differently here: versions, machine, code."""

import subprocess

from pipeline import records
from pipeline.params import Params
from pipeline.training import device as devices
from pipeline.training.checkpoint import CODE
from pipeline.verification.recorded import Record


def differences(record: Record | None, params: Params) -> list[str]:
    """What is different here from where the report was made."""
    if record is None:
        return ["the report does not say on which machine and versions it was made"]
    here, device = records.machine(), devices.name(devices.prepare(params))
    theirs = {"processor": record.machine.cpu, "system": record.machine.system}
    theirs |= {"device": record.device, **record.versions}
    ours = {"processor": here["cpu"], "system": here["system"], "device": device}
    ours |= records.versions()
    found = [
        f"{key}: {theirs[key]} then, {ours.get(key, 'missing')} now"
        for key in theirs
        if ours.get(key) != theirs[key]
    ]
    if here["cores"] < params.threads:
        found.append(f"threads: {params.threads} asked for, {here['cores']} cores here")
    found += _code(record.git_commit)
    return found or ["nothing known: the same versions, processor and code"]


def _code(commit: str | None) -> list[str]:
    """Whether the code that trains is another than at the report's commit."""
    if commit is None:
        return ["code: the report does not name its commit"]
    plain = commit.removesuffix("-dirty")
    # A report is not to hand options to git, whatever it calls a commit.
    command = ["git", "diff", "--quiet", "--end-of-options", plain, "--", *map(str, CODE)]
    code = subprocess.run(command, capture_output=True).returncode
    if code > 1:
        return [f"code: commit {plain[:12]} is not in this clone"]
    if code == 1:
        return [f"code: not as in commit {plain[:12]}; `git checkout` it and verify there"]
    return [f"code: changed, but not committed, on {plain[:12]}"] if plain != commit else []
