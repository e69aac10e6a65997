"""Finds the MLflow runs of a row of `dvc exp show`, and tags runs with their rows.

A run has the checksum of its trained model as a tag, and DVC knows the models of each row. This
also works if DVC took the models from its cache and ran no stage.
"""

import json
import subprocess
from typing import Any

from pipeline.errors import UserError, first_line
from pipeline.paths import MODELS, read_json, root, write_json

WORKSPACE = "workspace"  # the row of uncommitted results
# Tags of a run: the experiments that it belongs to, and the SHA-256 of its trained model.
EXPERIMENTS_TAG = "dvc_experiment"
WEIGHTS_TAG = "weights_sha256"
LONGEST = 5000  # characters of a tag; all databases that MLflow supports allow these


def runs_of(client: Any, experiment_id: str, row: str) -> list[str]:
    """The ids of the runs that trained the models of a row.

    row: an experiment, a branch, a tag or a commit; or `workspace`.

    Raises:
        UserError: DVC does not know the row or has no models of it, or MLflow has no run of them.
    """
    found = [
        run.info.run_id
        for weights in _weights(row)
        for run in client.search_runs([experiment_id], f"tags.{WEIGHTS_TAG} = '{weights}'")
    ]
    if not found:
        raise UserError(f"{row}: MLflow has no run of its models")
    return found


def note_experiments(client: Any, experiment_id: str) -> None:
    """Tag all runs with the experiments of DVC that they belong to."""
    trained: dict[str, list[Any]] = {}
    page = None
    while page is None or page.token:
        page = client.search_runs([experiment_id], page_token=page and page.token)
        for run in page:
            if WEIGHTS_TAG in run.data.tags:
                trained.setdefault(run.data.tags[WEIGHTS_TAG], []).append(run)
    for row, all_weights in _experiments().items():
        for weights in all_weights:
            for run in trained.get(weights, []):
                add(client, run, row)


def add(client: Any, run: Any, row: str) -> None:
    """Add a row to the experiments in the tag of a run; if it gets too long, drop the oldest."""
    known = run.data.tags.get(EXPERIMENTS_TAG)
    rows = known.split(", ") if known else []
    if row not in rows:
        rows.append(row)
        while len(text := ", ".join(rows)) > LONGEST:
            rows.pop(0)
        client.set_tag(run.info.run_id, EXPERIMENTS_TAG, text)
        run.data.tags[EXPERIMENTS_TAG] = text


def _experiments() -> dict[str, list[str]]:
    """SHA-256 of the trained models of each experiment, by its name."""
    command = ["git", "for-each-ref", "--format=%(objectname) %(refname:lstrip=4)"]
    listed = subprocess.run([*command, "refs/exps/*/*/*"], capture_output=True, text=True)
    # Cached, because DVC takes almost a second for each commit. A commit never changes.
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
                continue  # its models were not pulled
        found[row] = known[commit]
    if len(known) > before:
        write_json(known, file)
    return found


def _weights(row: str) -> list[str]:
    """SHA-256 of the trained models of a row, from their summary.json.

    Raises:
        UserError: DVC does not know the row, or has no models of it.
    """
    from dvc.api import DVCFileSystem
    from fsspec.implementations.local import LocalFileSystem

    try:
        files = LocalFileSystem() if row == WORKSPACE else DVCFileSystem(rev=row)
        summaries = [
            json.loads(files.read_text(path))
            for path in sorted(files.glob(f"{MODELS}/*/seed-*/summary.json"))
        ]
    except Exception as error:  # DVC and git raise many kinds
        raise UserError(f"{row}: DVC has no models of this row: {first_line(error)}") from None
    if not summaries:
        raise UserError(f"{row}: DVC has no models of this row")
    return [summary["weights_sha256"] for summary in summaries]
