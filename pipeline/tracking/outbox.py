"""What MLflow could not be told, kept until `python -m pipeline sync` delivers it."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline import records
from pipeline.errors import UserError, first_line
from pipeline.paths import root
from pipeline.tracking import store
from pipeline.tracking.run import Identity, Run

ENTRY = "entry.json"
# Arguments that are paths, which are copied: another run writes to the same place.
PATHS = {"files": ("path",), "model": ("model", "data", "code")}


def put(
    stage: str, identity: Identity, said: list[tuple[str, dict[str, Any]]], status: str
) -> None:
    """Keep a run that could not be delivered, with copies of its files."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix=".fresh-"))
    operations = []
    for number, (operation, arguments) in enumerate(said):
        copies = {}
        for key in PATHS.get(operation, ()):
            # Under its own name, which is the file's name in MLflow.
            copies[key] = f"{number}-{key}/{Path(arguments[key]).name}"
            _copy(Path(arguments[key]), fresh / copies[key])
        operations.append([operation, arguments | copies])
    entry = {"identity": identity.as_dict(), "operations": operations, "status": status}
    (fresh / ENTRY).write_text(json.dumps(entry), "utf-8")
    target = folder / f"{identity.training_id}-{stage}"
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)


def sync() -> None:
    """Deliver everything that waits, and say so.

    Raises:
        UserError: MLflow cannot be reached; what it did not take goes on waiting.
    """
    waiting = pending()
    for number, file in enumerate(waiting):
        try:
            print(f"delivered: {deliver(file)}", flush=True)
        except Exception as error:
            raise UserError(
                f"MLflow at {store.uri()} failed: {first_line(error)[:200]}\n"
                f"{len(waiting) - number} of {len(waiting)} runs wait on; try again later"
            ) from None
    if not waiting:
        print("nothing waits for MLflow")


def pending() -> list[Path]:
    """Runs that wait for delivery: trainings first, then what continues them."""
    return sorted(_folder().glob("*/" + ENTRY), key=lambda file: (file.stat().st_mtime, file))


def deliver(file: Path) -> str:
    """Deliver one run and forget it; returns its name."""
    folder = file.parent
    entry = json.loads(file.read_text("utf-8"))
    identity = Identity(**entry["identity"])
    run = Run(identity)
    try:
        for operation, arguments in entry["operations"]:
            paths = {key: str(folder / arguments[key]) for key in PATHS.get(operation, ())}
            run.do(operation, arguments | paths)
    except Exception:
        with contextlib.suppress(Exception):
            run.close("FAILED")  # until the next attempt
        raise
    run.close(entry["status"])
    shutil.rmtree(folder)
    return identity.name


def note_silence() -> None:
    """The store does not answer: spare the other stages of this `dvc` command the wait."""
    _silence().parent.mkdir(exist_ok=True)
    _silence().write_text(json.dumps([store.uri(), records.dvc_name()]))


def silent() -> bool:
    """Whether another stage of this `dvc` command has found the store silent."""
    name = records.dvc_name()
    try:
        return name is not None and json.loads(_silence().read_text()) == [store.uri(), name]
    except (OSError, ValueError):
        return False


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir()
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignore)
    else:
        shutil.copy2(source, target)


def _folder() -> Path:
    return root() / ".records" / "outbox"


def _silence() -> Path:
    return root() / ".records" / "silent-store.json"
