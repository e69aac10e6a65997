"""Links to single runs in the MLflow UI."""

from collections.abc import Iterable

from pipeline.tracking import store

LOCAL = "http://127.0.0.1:5000"  # where `python -m pipeline ui` serves the project's database


def runs(run_ids: Iterable[str]) -> dict[str, str]:
    """The link to each run; empty if there are none, or MLflow cannot be reached."""
    wanted = dict.fromkeys(run_ids)
    if not wanted or not (store.server() or store.database().exists()):
        return {}  # without importing MLflow, or creating a database
    try:
        experiment = store.experiment_id()
    except Exception:  # MLflow raises many kinds
        return {}
    place = f"{store.server() or LOCAL}/#/experiments/{experiment}/runs"
    return {run_id: f"{place}/{run_id}" for run_id in wanted}
