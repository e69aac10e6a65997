"""Reads a report: metrics.json and the curves beside it."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UserError, first_line
from pipeline.params import Params, validate
from pipeline.paths import read_json
from pipeline.reporting import schema
from pipeline.reporting.schema import Report


def read(file: Path) -> tuple[Report, dict[str, Any], Params]:
    """Read a report; returns it, the content of its file, and its parameters.

    Raises:
        UserError: it is missing, is not JSON, or was made by another version of the program.
    """
    content = _json(file)
    try:
        report = schema.read(content)
        params = validate(report.params, file)
    except UserError as error:
        made = content.get("git_commit") if isinstance(content, dict) else None
        advice = f"; try `git checkout {str(made).removesuffix('-dirty')}` first" if made else ""
        raise UserError(
            f"{file}: not a report of this version of the program{advice}\n  {error}"
        ) from None
    return report, content, params


def headline(file: Path, name: str) -> dict[str, float]:
    """The metrics in the metrics.json of the model `name`.

    Raises:
        UserError: it is missing, or has other content.
    """
    return schema.headline(_json(file), name, file)


def _json(file: Path) -> Any:
    try:
        return read_json(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: run `dvc repro` first, or name a report") from None
    except ValueError as error:  # invalid JSON or UTF-8
        raise UserError(f"{file}: not JSON: {error}") from None


def curve(file: Path) -> pd.DataFrame:
    """Read a recorded curve.

    Raises:
        UserError: it is missing, or has other content.
    """
    try:
        rows = pd.read_csv(file)
        rows = rows.astype(float)
        if not isinstance(rows.index, pd.RangeIndex):  # pandas made labels of the surplus values
            raise ValueError("a row is longer than the header")
    except FileNotFoundError:
        raise UserError(f"{file} is missing: there is no curve to compare with") from None
    except ValueError as error:  # includes pandas' parsing errors
        raise UserError(f"{file}: not a curve: {first_line(error)}") from None
    return rows
