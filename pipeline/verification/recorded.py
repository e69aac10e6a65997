"""Reads a report: metrics.json and the curves beside it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pipeline.errors import UserError, first_line
from pipeline.params import Params, validate
from pipeline.paths import read_json

COMMIT = r"^[0-9a-f]{7,64}(-dirty)?$"
Commit = Annotated[str, Field(pattern=COMMIT)]
# Finite, and small enough for arithmetic.
Number = Annotated[int | float, Field(gt=-1e300, lt=1e300)]
Value = bool | Number | str | None


class Data(BaseModel):
    """The data of a model.

    note: how they differ from the reference's. own: whether they are a user's own, without targets.
    """

    fingerprint: str
    note: str | None
    own: bool = False


class Metrics(BaseModel, extra="allow"):
    """Metrics of a trained model: numbers, and the fields below."""

    unit: Literal["tokens", "images"]
    weights_sha256: str
    __pydantic_extra__: dict[str, Number]


class Machine(BaseModel):
    """The machine of a training."""

    cpu: str
    system: str


class Record(BaseModel):
    """The record of a training."""

    machine: Machine
    device: str
    versions: dict[str, str]
    git_commit: Commit | None


class Trained(BaseModel):
    """One training, with one seed. record: None if another machine trained the model."""

    seed: int
    metrics: Metrics
    record: Record | None


class Reached(BaseModel):
    """When a training first reached a target."""

    step: int
    units: int
    flops: int


class Model(BaseModel):
    """One model. measures: how metrics are measured. metrics: means over the
    trainings."""

    task: str
    data: Data
    one_class_only: list[int]
    measures: dict[str, dict[str, Value]]
    time_to_target: dict[str, list[Reached | None]]
    metrics: dict[str, Number | str]
    trainings: list[Trained]


class Report(BaseModel):
    """The part of metrics.json that a verification needs.

    changes: overrides of the profile, for `-S`; None if no commit had a params.yaml.
    """

    finished: str
    git_commit: Commit | None
    profile: str
    changes: list[str] | None = []  # missing in earlier reports
    params: dict[str, Any]
    targets_met: int
    targets_comparable: int
    verdicts: list[dict[str, Value | list[Value] | dict[str, Value]]]
    models: dict[str, Model]


def read(file: Path) -> tuple[Report, Params]:
    """Read a report and its parameters.

    Raises:
        UserError: it is missing, is not JSON, or was made by another version of the program.
    """
    content = _json(file)
    try:
        report = Report.model_validate(content)
        params = validate(report.params, file)
        for name in params.models:
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
    """The metrics in the metrics.json of the model `name`.

    Raises:
        UserError: it is missing, or has other content.
    """
    content = _json(file)
    try:
        return TypeAdapter(dict[str, dict[str, Number]]).validate_python(content)[name]
    except (KeyError, ValidationError):
        raise UserError(f"{file}: not the metrics of {name}") from None


def _json(file: Path) -> Any:
    try:
        return read_json(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: run `dvc repro` first, or name a report") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
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
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except ValueError as error:  # includes pandas' parsing errors
        raise UserError(f"{file}: not a curve: {first_line(error)}") from None
    return rows
