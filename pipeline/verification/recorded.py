"""Reads a report: metrics.json and the curves beside it."""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

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
        report = schema.ADAPTER.validate_python(content)
        params = validate(report.params, file)
        for name in params.model_names:
            trainings = report.models[name].trainings if name in report.models else []
            if [training.seed for training in trainings] != params.seeds:
                raise UserError(f"models.{name}: not a training for each of {params.seeds}")
    except (UserError, ValidationError) as error:
        made = content.get("git_commit") if isinstance(content, dict) else None
        advice = f"; try `git checkout {str(made).removesuffix('-dirty')}` first" if made else ""
        raise UserError(
            f"{file}: not a report of this version of the program{advice}\n  {_reason(error)}"
        ) from None
    return report, content, params


def headline(file: Path, name: str) -> dict[str, float]:
    """The metrics in the metrics.json of the model `name`.

    Raises:
        UserError: it is missing, or has other content.
    """
    content = _json(file)
    try:
        return TypeAdapter(dict[str, dict[str, float]]).validate_python(content)[name]
    except (KeyError, ValidationError):
        raise UserError(f"{file}: not the metrics of {name}") from None


def _json(file: Path) -> Any:
    try:
        return read_json(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: run `dvc repro` first, or name a report") from None
    except ValueError as error:  # invalid JSON or UTF-8
        raise UserError(f"{file}: not JSON: {error}") from None


def _reason(error: UserError | ValidationError) -> str:
    if isinstance(error, UserError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'at the top'}: {first['msg'].lower()}"


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
