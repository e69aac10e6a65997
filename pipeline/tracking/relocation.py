"""Updates paths in MLflow's database after its clone was moved or copied: they are absolute."""

import sqlite3
from contextlib import closing
from pathlib import Path

# Columns with paths, by table.
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def relocate(database: Path, experiment: str, artifacts: Path) -> bool:
    """Point the database to the experiment's files in the folder `artifacts`; returns whether
    anything changed.

    This edits the tables directly, because MLflow cannot change the location of a run's files.
    """
    if not database.exists():
        return False
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        if not connection.execute("PRAGMA table_info(logged_models)").fetchall():
            return False  # MLflow has not created its tables yet
        query = "SELECT artifact_location FROM experiments WHERE name = ?"
        found = connection.execute(query, (experiment,)).fetchone()
        if found is None or found[0] == artifacts.as_uri():
            return False
        former, now = found[0], artifacts.as_uri()
        for table, columns in LOCATIONS.items():
            for column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (now, len(former) + 1, former, len(former) + 1, f"{former}/"),
                )
    return True
