"""What MLflow could not be told, kept until `python -m pipeline sync` delivers it."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline import records
from pipeline.errors import UserError
from pipeline.paths import root
from pipeline.tracking import rows, store
from pipeline.tracking.identity import Identity
from pipeline.tracking.run import Run
from pipeline.tracking.secrets import hide
from pipeline.wording import wrapped

ENTRY = "entry.json"
# Arguments that are paths, or lists of them: copied, since another run writes to the same place.
PATHS = {"files": ("path",), "model": ("model", "meta", "tokenizer", "packages")}


def put(
    stage: str, identity: Identity, said: list[tuple[str, dict[str, Any]]], status: str
) -> None:
    """Keep a run that could not be delivered, with copies of its files."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fresh-") as temporary:
        fresh = Path(temporary) / "entry"
        fresh.mkdir()
        operations = [
            [operation, _at(operation, arguments, lambda path, n=number: _copy(path, fresh, n))]
            for number, (operation, arguments) in enumerate(said)
        ]
        entry = {
            "identity": identity.as_dict(),
            "operations": operations,
            "status": status,
            "ended": int(time.time() * 1000),
        }
        (fresh / ENTRY).write_text(json.dumps(entry), "utf-8")
        forget(stage, identity.training_id)
        os.replace(fresh, _entry(stage, identity.training_id))


def forget(stage: str, training_id: str) -> None:
    """What an interrupted run left here is of no more use, once the run has said it again."""
    shutil.rmtree(_entry(stage, training_id), ignore_errors=True)


def sync() -> None:
    """Deliver everything that waits, and say so.

    Raises:
        UserError: MLflow cannot be reached; what it did not take goes on waiting.
    """
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # or two at once would deliver the same
        waiting = pending()
        for number, file in enumerate(waiting):
            try:
                store.experiment_id()  # a server that is down costs seconds
                with _patience():
                    print(wrapped(f"delivered: {deliver(file)}"), flush=True)
            except Exception as error:
                raise UserError(
                    f"{store.failure(error)}\n"
                    f"{len(waiting) - number} of {len(waiting)} runs wait on; run the same command "
                    "again when that is mended"
                ) from None
        if not waiting:
            print("nothing waits for MLflow")
            return
    _note_experiments()


def _note_experiments() -> None:
    """Experiments that DVC made while MLflow was down have been noted in no run yet."""
    import mlflow

    try:
        experiment = store.experiment_id()
        rows.note_experiments(mlflow.MlflowClient(), experiment)
    except Exception as error:
        raise UserError(store.failure(error)) from None


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
            run.do(operation, _at(operation, arguments, lambda path: str(folder / path)))
    except Exception:
        with contextlib.suppress(Exception):
            run.close("FAILED")  # until the next attempt
        raise
    run.close(entry["status"], entry.get("ended"))
    records.link(identity.training_id, run.run_id, run.experiment_id)
    shutil.rmtree(folder)
    return identity.name


def note_silence() -> None:
    """The store does not answer: spare the other stages of this `dvc` command the wait."""
    _silence().parent.mkdir(exist_ok=True)
    _silence().write_text(json.dumps([hide(store.uri()), records.dvc_name()]))


def silent() -> bool:
    """Whether another stage of this `dvc` command has found the store silent."""
    name = records.dvc_name()
    try:
        noted = json.loads(_silence().read_text())
        return name is not None and noted == [hide(store.uri()), name]
    except (OSError, ValueError):
        return False


def _at(operation: str, arguments: dict[str, Any], move: Callable[[str], str]) -> dict[str, Any]:
    """The arguments of an operation with `move` applied to its paths."""
    moved = {}
    for key in PATHS.get(operation, ()):
        if key in arguments:
            value = arguments[key]
            moved[key] = [move(path) for path in value] if isinstance(value, list) else move(value)
    return arguments | moved


def _copy(path: str, folder: Path, number: int) -> str:
    """Copy a file or folder under its own name, which is its name in MLflow; returns where to."""
    source, target = Path(path), folder / str(number) / Path(path).name
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)
    return str(target.relative_to(folder))


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Time for a large model, which a stage would not wait for."""
    usual = os.environ.copy()
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    try:
        yield
    finally:
        os.environ |= {key: usual[key] for key in usual if key.startswith("MLFLOW_HTTP")}


def _entry(stage: str, training_id: str) -> Path:
    return _folder() / f"{training_id}-{stage}"


def _folder() -> Path:
    return root() / ".records" / "outbox"


def _silence() -> Path:
    return root() / ".records" / "silent-store.json"
