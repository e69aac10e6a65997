"""Updates paths in MLflow's database after its clone was moved or copied: they are absolute."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

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
        for table, columns in LOCATIONS.items():
            for column in columns:
                _relocate(connection, table, column, found[0], artifacts.as_uri())
    return True


def _relocate(
    connection: sqlite3.Connection, table: str, column: str, former: str, now: str
) -> None:
    places = connection.execute(
        f"SELECT DISTINCT {column} FROM {table} WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (former, len(former) + 1, f"{former}/"),
    ).fetchall()
    for (place,) in places:
        moved = now + place[len(former) :]
        # If the database was copied without its files, keep the paths of the original.
        if place == former or _path(moved).exists() or not _path(place).exists():
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?",
                               (moved, place))  # fmt: skip


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
