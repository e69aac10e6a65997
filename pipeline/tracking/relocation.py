"""A database of MLflow that was moved or copied with its clone: it names the files of its runs by
the place where it was made."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Where MLflow's database names files.
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def relocate(database: Path, experiment: str, artifacts: Path) -> bool:
    """Have the database name the files of the experiment in the folder `artifacts`, where they are
    now; whether anything was changed.

    It is done in the database itself: MLflow has no way to change where a run's files are.
    """
    if not database.exists():
        return False
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        if not connection.execute("PRAGMA table_info(logged_models)").fetchall():
            return False  # not yet MLflow's
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
        # A database that was copied without its files goes on naming them where they are.
        if place == former or _path(moved).exists() or not _path(place).exists():
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?",
                               (moved, place))  # fmt: skip


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
