"""Repairs files that DVC writes in place: if DVC is killed, they may be truncated."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError

RESULTS = Path("dvc.lock")
TEMPORARY = Path(".dvc") / "tmp"
GUARD = TEMPORARY / "lock"  # what DVC takes for writing dvc.lock
# DVC's lists of files in use, for stages and for experiments.
IN_USE = (TEMPORARY / "rwlock", TEMPORARY / "exps" / "rwlock")


def repair() -> list[str]:
    """Repair truncated files; returns a message for each.

    Raises:
        UserError: another DVC is running, or git cannot restore dvc.lock.
    """
    guards = {RESULTS: GUARD}
    guards |= {file: file.with_name("rwlock.lock") for file in IN_USE}
    return [line for file, guard in guards.items() if (line := _repair(file, guard))]


def _repair(file: Path, guard: Path) -> str | None:
    """Restore a damaged file while holding the lock that DVC takes for writing it."""
    if _is_intact(file):
        return None  # the usual case, without the lock
    with locked(file, guard):
        # Check again: another DVC may have been writing the file before.
        return None if _is_intact(file) else f"{file} was truncated: {_restore(file)}"


@contextmanager
def locked(file: Path, guard: Path) -> Iterator[None]:
    """Hold the lock `guard`, which DVC takes for writing `file`.

    Raises:
        UserError: another DVC holds it.
    """
    from dvc.lock import Lock, LockError

    guard.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Lock(str(guard)):
            yield
    except LockError:
        raise UserError(f"{file} is in use by another DVC; try again when it is done") from None


def _is_intact(file: Path) -> bool:
    if not file.exists():
        return True
    if file == RESULTS:
        return is_complete(file.read_bytes())
    try:
        json.loads(file.read_bytes())
    except ValueError:
        return False
    return True


def is_complete(content: bytes) -> bool:
    """Whether a dvc.lock is valid for DVC, its last entry is complete, and it has all committed
    stages."""
    committed = _git("show", f":./{RESULTS}").stdout
    if committed and content == committed:
        return True
    lost = _stages(committed) - _stages(content)
    if any(name.split(b"@")[0] in _stages(Path("dvc.yaml").read_bytes()) for name in lost):
        return False
    from dvc.exceptions import DvcException
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import parse_yaml
    from voluptuous import Invalid

    try:
        stages = COMPILED_LOCKFILE_SCHEMA(parse_yaml(content.decode("utf-8"), RESULTS))["stages"]
    except (UnicodeDecodeError, DvcException, Invalid, KeyError):
        return False
    # If an entry lacks whole outputs, DVC sees a change and restores it. If the last output lacks
    # its last fields, DVC would not notice.
    outputs = list(stages.values())[-1].get("outs", []) if stages else []
    ends = ["nfiles" if ".dir" in (out.get("md5") or "") else "size" for out in outputs[-1:]]
    return content.endswith(b"\n") and all(end in outputs[-1] for end in ends)


def _stages(content: bytes) -> set[bytes]:
    """The names of the stages in a dvc.lock or dvc.yaml, even if truncated."""
    return set(re.findall(rb"^  (\w.*):$", content, re.MULTILINE))


def _restore(file: Path) -> str:
    """Restore the committed version, if there is one; `dvc repro` then adds newer results from
    DVC's cache.

    Raises:
        UserError: git tracks the file but cannot restore it, for example during a merge.
    """
    if not _git("ls-files", "--", str(file)).stdout:
        file.unlink()
        return "removed; DVC makes it again"
    restored = _git("checkout", "--", str(file))
    if restored.returncode:
        reason = restored.stderr.decode(errors="replace").strip()
        raise UserError(f"{file} is damaged, and git cannot restore it: {reason}")
    return "restored from git; `dvc repro` adds newer results from DVC's cache"


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], capture_output=True)
