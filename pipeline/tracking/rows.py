"""From a row of `dvc exp show` to its runs in MLflow, and back.

A run notes the checksum of the model that it trained, and DVC knows the models of each row. So they
find each other also where DVC took the models from its cache, and no stage ran.
"""

import json
import subprocess
from typing import Any

from pipeline import MODELS
from pipeline.errors import UserError, first_line
from pipeline.paths import models_dir, read_json, root, write_json

WORKSPACE = "workspace"  # the row that is no commit
EXPERIMENTS = "dvc_experiment"  # tag of a run: the experiments that it belongs to
WEIGHTS = "weights_sha256"  # tag of a run: its trained model
LONGEST = 5000  # characters of a tag, for all databases that MLflow supports


def runs_of(client: Any, experiment_id: str, row: str) -> list[str]:
    """The ids of the runs in which the models of a row were trained.

    row: an experiment, a branch, a tag or a commit; or `workspace`.

    Raises:
        UserError: DVC does not know the row or has none of its models, or MLflow has no such run.
    """
    found = [
        run.info.run_id
        for weights in _weights(row)
        for run in client.search_runs([experiment_id], f"tags.{WEIGHTS} = '{weights}'")
    ]
    if not found:
        raise UserError(f"{row}: MLflow has no run of its models")
    return found


def note_experiments(client: Any, experiment_id: str) -> None:
    """Note in the runs which experiments they belong to, of all experiments that DVC has."""
    trained: dict[str, list[Any]] = {}
    page = None
    while page is None or page.token:
        page = client.search_runs([experiment_id], page_token=page and page.token)
        for run in page:
            if WEIGHTS in run.data.tags:
                trained.setdefault(run.data.tags[WEIGHTS], []).append(run)
    for row, all_weights in _experiments().items():
        for weights in all_weights:
            for run in trained.get(weights, []):
                add(client, run, row)


def add(client: Any, run: Any, row: str) -> None:
    """Add a row to those that a run notes."""
    known = run.data.tags.get(EXPERIMENTS)
    rows = known.split(", ") if known else []
    if row not in rows:
        rows.append(row)
        while len(text := ", ".join(rows)) > LONGEST:
            rows.pop(0)
        client.set_tag(run.info.run_id, EXPERIMENTS, text)
        run.data.tags[EXPERIMENTS] = text


def _experiments() -> dict[str, list[str]]:
    """Checksums of the trained models of each experiment, by its name."""
    command = ["git", "for-each-ref", "--format=%(objectname) %(refname:lstrip=4)"]
    listed = subprocess.run([*command, "refs/exps/*/*/*"], capture_output=True, text=True)
    # DVC needs most of a second for a commit, of which the models never change.
    file = root() / ".records" / "models-of-commits.json"
    known = read_json(file) if file.exists() else {}
    before = len(known)
    found = {}
    for line in listed.stdout.splitlines():
        commit, row = line.split(" ")
        if commit not in known:
            try:
                known[commit] = _weights(commit)
            except UserError:
                continue  # DVC has only what was pulled
        found[row] = known[commit]
    if len(known) > before:
        write_json(known, file)
    return found


def _weights(row: str) -> list[str]:
    """Checksums of the trained models of a row, from their summaries.

    Raises:
        UserError: DVC does not know the row, or has none of its models.
    """
    from dvc.api import DVCFileSystem
    from fsspec.implementations.local import LocalFileSystem

    try:
        files = LocalFileSystem() if row == WORKSPACE else DVCFileSystem(rev=row)
        summaries = [
            json.loads(files.read_text(path))
            for name in MODELS
            for path in sorted(files.glob(f"{models_dir(name)}/seed-*/summary.json"))
        ]
    except Exception as error:  # whatever DVC and git raise of what they do not know or have
        raise UserError(f"{row}: DVC has no models of such a row: {first_line(error)}") from None
    if not summaries:
        raise UserError(f"{row}: DVC has no models of such a row")
    return [summary["weights_sha256"] for summary in summaries]
