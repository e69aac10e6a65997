"""Reads the reference's results: reports/targets.yaml and reports/reference/*.csv."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pipeline import yaml_file
from pipeline.curves import UNITS
from pipeline.errors import UserError
from pipeline.paths import REPORTS
from pipeline.wording import listed

FILE = REPORTS / "targets.yaml"


class Section(BaseModel):
    """A section of the file: unknown keys and other types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Target(Section):
    """One result of the reference, and our metric to compare; see the head of the file."""

    name: str
    value: float
    better: Literal["lower", "higher"]
    source: str
    measured: str
    ours: str
    how: str
    measure: dict[str, str | bool]
    baseline: str

    def reached_by(self, value: float) -> bool:
        """Whether `value` is at least as good as the target."""
        return value <= self.value if self.better == "lower" else value >= self.value


class Cost(Section):
    """The cost of the reference's training: steps, units seen, and FLOPs.

    The key of the units is one of `curves.UNITS`, such as `tokens: 1024000`.
    note: what its FLOPs contain that ours do not.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, PositiveInt]

    steps: PositiveInt
    flops: PositiveInt
    note: str | None = None

    def units(self, unit: str) -> int:
        """The number of units seen.

        unit: what our model of this name counts.

        Raises:
            UserError: the cost is in another unit.
        """
        ((found, count),) = self.__pydantic_extra__.items()
        if found != unit:
            raise UserError(f"{FILE}: the cost {found}: {count} is of a model that counts {unit}")
        return count

    @model_validator(mode="after")
    def _one_unit(self) -> "Cost":
        found = [*self.__pydantic_extra__]
        if len(found) != 1 or found[0] not in UNITS:
            other = listed(found) or "none of them"
            raise ValueError(f"expected one of {listed(UNITS, 'or')}, not {other}")
        return self


class ModelTargets(Section):
    """The targets of a model, and the conditions for a like-for-like comparison.

    data, measure: required values of parameters, by their path within the model's section; the
        first of `data` is the text or the images.
    """

    data: Annotated[dict[str, Any], Field(min_length=1)]
    measure: dict[str, Any]
    cost: Cost
    targets: Annotated[list[Target], Field(min_length=1)]


def load(path: Path = FILE) -> dict[str, ModelTargets]:
    """The targets of the models that have some.

    Raises:
        UserError: the file is not a mapping, or a section does not match `ModelTargets`.
    """
    try:
        return TypeAdapter(dict[str, ModelTargets]).validate_python(yaml_file.read(path))
    except ValidationError as failure:
        error = failure.errors()[0]
        where = ".".join(map(str, error["loc"]))
        raise UserError(f"{path}: {where}: {error['msg']}") from None


def about(data: dict[str, dict[str, Any]]) -> dict[str, ModelTargets]:
    """The targets by model, without models that have none or use a user's own data.

    data: meta.json of `prepare`, by model.
    """
    known = load()
    return {
        name: known[name] for name, meta in data.items() if name in known and not meta.get("own")
    }


def curve(name: str) -> pd.DataFrame | None:
    """The reference's logged curve of the model `name`, if there is one."""
    file = REPORTS / "reference" / f"{name}.csv"
    return pd.read_csv(file) if file.exists() else None
