"""Repairs files that DVC writes in place: if DVC is killed, they may be truncated."""

import json
import subprocess
from pathlib import Path

from pipeline.errors import UserError

RESULTS = Path("dvc.lock")
TEMPORARY = Path(".dvc") / "tmp"
# DVC's lists of files in use, for stages and for experiments.
IN_USE = (TEMPORARY / "rwlock", TEMPORARY / "exps" / "rwlock")


def repair() -> list[str]:
    """Restore a truncated dvc.lock from git, and remove truncated lists of files in use; returns a
    message for each.

    Raises:
        UserError: another DVC is running, or git cannot restore dvc.lock.
    """
    damaged = [file for file in (RESULTS, *IN_USE) if file.exists() and not _is_complete(file)]
    if not damaged:
        return []
    from dvc.lock import Lock, LockError

    try:
        with Lock(str(TEMPORARY / "lock")):  # the other DVC may be writing
            return [f"{file} was truncated: {_restore(file)}" for file in damaged]
    except LockError:
        raise UserError("another DVC is running; try again when it is done") from None


def _is_complete(file: Path) -> bool:
    content = file.read_bytes()
    try:
        if file == RESULTS:
            from dvc.schema import COMPILED_LOCKFILE_SCHEMA
            from dvc.utils.serialize import parse_yaml

            COMPILED_LOCKFILE_SCHEMA(parse_yaml(content.decode("utf-8"), file))
            return content.endswith(b"\n")
        json.loads(content)
    except Exception:  # ValueError, or one of DVC's
        return False
    return True


def _restore(file: Path) -> str:
    if file != RESULTS or not _git("ls-files", str(file)).stdout:
        file.unlink()
        return "removed"
    # Git has the committed version; `dvc repro` adds newer results from DVC's cache.
    restored = _git("checkout", "--", str(file))
    if restored.returncode:
        raise UserError(f"{file} is damaged, and git cannot restore it: {restored.stderr.strip()}")
    return "restored from git; `dvc repro` adds newer results from DVC's cache"


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True)
