"""What a kill may leave cut off: DVC writes some of its files in place, and refuses half of one."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UserError

RESULTS = Path("dvc.lock")
TEMPORARY = Path(".dvc") / "tmp"
# Which process has which files in use: for stages, and for experiments.
IN_USE = (TEMPORARY / "rwlock", TEMPORARY / "exps" / "rwlock")


def repair() -> list[str]:
    """Put right what a killed DVC left half written; returns what was done, a line for each file.

    Raises:
        UserError: another DVC is at work, or git does not restore dvc.lock.
    """
    done = [_repair(RESULTS, TEMPORARY / "lock", _is_whole, _restore)]
    for file in IN_USE:
        done.append(_repair(file, file.with_name("rwlock.lock"), _is_json, _remove))
    return [line for line in done if line]


def _repair(
    file: Path, guard: Path, is_good: Callable[[bytes], bool], mend: Callable[[Path], str]
) -> str | None:
    """Mend a file that is no good, with the lock that DVC holds while it writes that file."""
    if _is_fine(file, is_good):
        return None  # the usual case, which needs no lock
    from dvc.lock import Lock, LockError

    guard.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Lock(str(guard)):
            # Once more: it may have been at the very moment that another DVC was writing it.
            return None if _is_fine(file, is_good) else f"{file} was cut off: {mend(file)}"
    except LockError:
        raise UserError(f"{file} is in use by another DVC; try again when that is done") from None


def _is_fine(file: Path, is_good: Callable[[bytes], bool]) -> bool:
    try:
        return is_good(file.read_bytes())
    except FileNotFoundError:
        return True


def _is_json(content: bytes) -> bool:
    with suppress(ValueError):
        json.loads(content)
        return True
    return False


def _is_whole(content: bytes) -> bool:
    """Whether DVC accepts a dvc.lock, its last entry is complete, and no entry of git's is gone."""
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
    # Without some of its outputs an entry counts as changed, and DVC restores it. Without the
    # figures that come last in an output, it would stay as it is.
    outputs = list(stages.values())[-1].get("outs", []) if stages else []
    ends = ["nfiles" if ".dir" in (out.get("md5") or "") else "size" for out in outputs[-1:]]
    return content.endswith(b"\n") and all(end in outputs[-1] for end in ends)


def _stages(content: bytes) -> set[bytes]:
    """The names of the stages in dvc.lock or dvc.yaml, also of half of one."""
    return set(re.findall(rb"^  (\w.*):$", content, re.MULTILINE))


def _restore(file: Path) -> str:
    """Take git's version: DVC restores what is newer from its cache, and keeps what is not there.

    Raises:
        UserError: git knows the file and does not restore it, as in a merge that is not resolved.
    """
    if not _git("ls-files", "--", str(file)).stdout:
        return f"{_remove(file)}, and `dvc repro` makes it again from DVC's cache"
    restored = _git("checkout", "--", str(file))
    if restored.returncode:
        reason = restored.stderr.decode(errors="replace").strip()
        raise UserError(f"{file} is cut off, and git does not restore it: {reason}")
    return "git's version is back, and `dvc repro` restores what is newer from DVC's cache"


def _remove(file: Path) -> str:
    file.unlink()
    return "removed"


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], capture_output=True)
