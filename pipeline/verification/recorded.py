"""What a report says, read back: metrics.json and the curves beside it.

The report may be anybody's: what it says is checked before it is used, and printed without what
would steer a terminal.
"""

import re
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pipeline import MODELS
from pipeline.errors import UserError, first_line
from pipeline.params import Params, validate
from pipeline.paths import read_json

COMMIT = r"^[0-9a-f]{7,64}(-dirty)?$"
Commit = Annotated[str, Field(pattern=COMMIT)]
# Categories of Unicode: control and format characters, halves of pairs, ends of lines.
UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Finite, and with room to reckon.
Number = Annotated[int | float, Field(gt=-1e300, lt=1e300)]
Value = bool | Number | str | None


class Data(BaseModel):
    """What the report says of the data of a model.

    note: how they differ from the reference's. own: whether they are a user's, of no target.
    """

    fingerprint: str
    note: str | None
    own: bool = False


class Figures(BaseModel, extra="allow"):
    """What the report says of the trained model: numbers, and those with names below."""

    unit: Literal["tokens", "images"]
    weights_sha256: str
    __pydantic_extra__: dict[str, Number]


class Machine(BaseModel):
    """Where a model was trained."""

    cpu: str
    system: str


class Record(BaseModel):
    """How a model was trained."""

    machine: Machine
    device: str
    versions: dict[str, str]
    git_commit: Commit | None


class Trained(BaseModel):
    """One training, with one seed. record: None where the report's author did not know it."""

    seed: int
    figures: Figures
    record: Record | None


class Reached(BaseModel):
    """When a training got to a target."""

    step: int
    units: int
    flops: int


class Model(BaseModel):
    """One of the three models. measures: how figures are measured. figures: as means over its
    trainings."""

    data: Data
    measures: dict[str, dict[str, Value]]
    time_to_target: dict[str, list[Reached | None]]
    figures: dict[str, Number | str]
    trainings: list[Trained]


class Report(BaseModel):
    """The part of metrics.json that a verification needs.

    changes: of the profile, as `-S` takes them; None where no commit had a params.yaml.
    """

    finished: str
    git_commit: Commit | None
    profile: str
    changes: list[str] | None = []  # which earlier reports leave out
    params: dict[str, Any]
    targets_met: int
    targets_comparable: int
    one_class_only: list[int]
    verdicts: list[dict[str, Value | list[Value] | dict[str, Value]]]
    models: dict[str, Model]


def read(file: Path) -> tuple[Report, Params]:
    """A report that holds all that a verification needs, and its parameters.

    Raises:
        UserError: there is none, it is not JSON, or another version of the program made it.
    """
    content = _json(file)
    try:
        report = Report.model_validate(content)
        params = validate(report.params, file)
        for name in MODELS:
            trainings = report.models[name].trainings if name in report.models else []
            if [training.seed for training in trainings] != params.seeds:
                raise UserError(f"models.{name}: not a training for each of {params.seeds}")
    except (UserError, ValidationError) as error:
        made = content.get("git_commit") if isinstance(content, dict) else None
        known = isinstance(made, str) and re.fullmatch(COMMIT, made)
        advice = f"; try `git checkout {made.removesuffix('-dirty')}` first" if known else ""
        raise UserError(
            f"{file}: not a report of this version of the program{advice}\n  {_reason(error)}"
        ) from None
    return report, params


def headline(file: Path, name: str) -> dict[str, float]:
    """The figures of metrics.json of the model `name`.

    Raises:
        UserError: there is none, or the file holds something else.
    """
    content = _json(file)
    try:
        return TypeAdapter(dict[str, dict[str, Number]]).validate_python(content)[name]
    except (KeyError, ValidationError):
        raise UserError(f"{file}: not the figures of {name}") from None


def _json(file: Path) -> Any:
    try:
        return _printable(read_json(file))
    except FileNotFoundError:
        raise UserError(f"{file} is missing: run `dvc repro` first, or name a report") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except RecursionError:
        raise UserError(f"{file}: not JSON of a report: nested too deeply") from None
    except ValueError as error:  # of JSON, of UTF-8, of a number with thousands of digits
        raise UserError(f"{file}: not JSON: {error}") from None


def _printable(value: Any) -> Any:
    """The same with a question mark in a diamond for all that steers a terminal."""
    if isinstance(value, dict):
        return {_printable(key): _printable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_printable(part) for part in value]
    if not isinstance(value, str):
        return value
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in UNPRINTABLE else letter
        for letter in value
    )


def _reason(error: UserError | ValidationError) -> str:
    if isinstance(error, UserError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'at the top'}: {first['msg'].lower()}"


def curve(file: Path) -> pd.DataFrame:
    """A recorded curve.

    Raises:
        UserError: there is none, or the file holds something else.
    """
    try:
        rows = pd.read_csv(file).rename(columns=_printable)
        rows = rows.astype(float)
        if not isinstance(rows.index, pd.RangeIndex):  # else pandas takes the rest for labels
            raise ValueError("a row is longer than the header")
    except FileNotFoundError:
        raise UserError(f"{file} is missing: there is no curve to compare with") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except ValueError as error:  # pandas' errors of parsing are among them
        raise UserError(f"{file}: not a curve: {_printable(first_line(error))}") from None
    return rows
