"""Keeps runs that MLflow did not receive, until `python -m pipeline sync` uploads them."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import UserError
from pipeline.paths import read_json, root, write_json
from pipeline.running import records
from pipeline.tracking import rows, store
from pipeline.tracking.identity import Identity
from pipeline.tracking.run import Run
from pipeline.tracking.secrets import hide
from pipeline.wording import wrapped

ENTRY = "entry.json"
# Arguments that are paths, or lists of paths. Copied, because the next run overwrites these files.
PATHS = {"files": ("path",), "model": ("model", "meta", "tokenizer", "packages")}


def put(
    stage: str, identity: Identity, operations: list[tuple[str, dict[str, Any]]], status: str
) -> None:
    """Keep a run for a later upload, with copies of its files.

    operations: names and arguments, for `Run.do`. status: of the run, see `Run.close`.
    """
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fresh-") as temporary:
        fresh = Path(temporary) / "entry"
        copied = [
            [name, _map_paths(name, arguments, partial(_copy, folder=fresh, number=number))]
            for number, (name, arguments) in enumerate(operations)
        ]
        entry = {
            "identity": asdict(identity),
            "operations": copied,
            "status": status,
            "ended": int(time.time() * 1000),
        }
        write_json(entry, fresh / ENTRY)
        discard(stage, identity.training_id)
        os.replace(fresh, _entry(stage, identity.training_id))


def discard(stage: str, training_id: str) -> None:
    """Remove what an interrupted run left here; the run has logged it again."""
    shutil.rmtree(_entry(stage, training_id), ignore_errors=True)


def sync() -> None:
    """Upload all runs kept here, and print their names.

    Raises:
        UserError: MLflow failed; the remaining runs are still kept.
    """
    import mlflow

    _folder().mkdir(parents=True, exist_ok=True)
    with FileLock(_folder() / ".lock"):  # two processes would upload the same run twice
        waiting = pending()
        if not waiting:
            print("nothing to upload")
            return
        left = len(waiting)
        try:
            experiment = store.experiment_id()  # fails within seconds if the server is down
            with _longer_timeouts():
                for file in waiting:
                    print(wrapped(f"uploaded: {upload(file)}"), flush=True)
                    left -= 1
            # DVC may have made experiments of them while MLflow was down.
            rows.note_experiments(mlflow.MlflowClient(), experiment)
        except Exception as error:
            raise UserError(
                f"{store.failure(error)}\n{left} of {len(waiting)} runs are not uploaded; solve "
                "this, then run the same command again"
            ) from None


def pending() -> list[Path]:
    """The kept runs, oldest first: a training before the stages that continue its run."""
    return sorted(_folder().glob("*/" + ENTRY), key=lambda file: (file.stat().st_mtime, file))


def upload(file: Path) -> str:
    """Upload one run and remove it here; returns its name."""
    folder = file.parent
    entry = read_json(file)
    identity = Identity(**entry["identity"])
    run = Run(identity)
    try:
        for name, arguments in entry["operations"]:
            run.do(name, _map_paths(name, arguments, lambda path: str(folder / path)))
    except Exception:
        with contextlib.suppress(Exception):
            run.close("FAILED")  # until the next attempt
        raise
    run.close(entry["status"], entry.get("ended"))
    records.link(identity.training_id, run.run_id)
    shutil.rmtree(folder)
    return identity.name


def mark_unreachable() -> None:
    """Record that MLflow failed; then the other stages of this `dvc` command do not try it."""
    write_json([hide(store.uri()), records.dvc_name()], _failure_file())


def unreachable() -> bool:
    """Whether MLflow failed in another stage of this `dvc` command."""
    name = records.dvc_name()
    try:
        return name is not None and read_json(_failure_file()) == [hide(store.uri()), name]
    except (OSError, ValueError):
        return False


def _map_paths(
    operation: str, arguments: dict[str, Any], move: Callable[[str], str]
) -> dict[str, Any]:
    """The arguments of an operation with `move` applied to its paths."""
    moved = {}
    for key in PATHS.get(operation, ()):
        if key in arguments:
            value = arguments[key]
            moved[key] = [move(path) for path in value] if isinstance(value, list) else move(value)
    return arguments | moved


def _copy(path: str, folder: Path, number: int) -> str:
    """Copy a file or folder into folder/number, with its name, which MLflow shows; returns the path
    inside `folder`."""
    source, target = Path(path), folder / str(number) / Path(path).name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)
    return str(target.relative_to(folder))


@contextlib.contextmanager
def _longer_timeouts() -> Iterator[None]:
    """Allow MLflow the time that a large model takes; a stage does not wait so long. Nothing is
    tried twice here: a second `sync` first looks for what the first one has written."""
    usual = os.environ.copy()
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    try:
        yield
    finally:
        os.environ |= {key: usual[key] for key in usual if key.startswith("MLFLOW_HTTP")}


def _entry(stage: str, training_id: str) -> Path:
    return _folder() / f"{training_id}-{stage}"


def _folder() -> Path:
    return root() / ".records" / "outbox"


def _failure_file() -> Path:
    return root() / ".records" / "unreachable-store.json"
