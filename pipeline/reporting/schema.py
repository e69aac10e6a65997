"""The whole report as one object: written by `report` as metrics.json, read by `verify` and
`compare`."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError, computed_field
from pydantic.dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.reporting.verdicts import Verdict, tally
from pipeline.results import Result


@dataclass
class Report:
    """Results and verdicts of a run, and how to repeat it.

    finished: when the report was made. git_commit: of the code; ends with -dirty if it was changed.
    machine, versions: that made the report.
    profile, changes: of the parameters, see `Reproduction`. command: shell lines that repeat it.
    params: the content of params.yaml. models: by name.
    """

    finished: str
    git_commit: str | None
    machine: dict[str, Any]
    versions: dict[str, str]
    profile: str
    changes: list[str] | None
    command: list[str]
    params: dict[str, Any]
    models: dict[str, Result]
    verdicts: list[Verdict]

    @computed_field
    @property
    def targets_met(self) -> int:
        """How many comparable targets are met."""
        return tally(self.verdicts)[0]

    @computed_field
    @property
    def targets_comparable(self) -> int:
        """How many targets are compared like for like."""
        return tally(self.verdicts)[1]

    def content(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return ADAPTER.dump_python(self, mode="json")


@dataclass
class Trained:
    """The parameters that say which trainings a report has."""

    model_names: list[str]
    seeds: list[int]


ADAPTER, TRAINED = TypeAdapter(Report), TypeAdapter(Trained)
HEADLINES = TypeAdapter(dict[str, dict[str, float]])  # metrics by model


def read(content: Any) -> Report:
    """The report in the content of a metrics.json, with each model of its parameters trained with
    each seed. What follows from other values, such as means and outcomes, is computed again.

    Raises:
        UserError: the content is something else; the message is only the reason.
    """
    try:
        report = ADAPTER.validate_python(content)
        trained = TRAINED.validate_python(report.params)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "at the top"
        raise UserError(f"{where}: {first['msg'].lower()}") from None
    for name in trained.model_names:
        trainings = report.models[name].trainings if name in report.models else []
        if [training.seed for training in trainings] != trained.seeds:
            raise UserError(f"models.{name}: not a training for each of {trained.seeds}")
    return report


def headline(content: Any, name: str, file: Path) -> dict[str, float]:
    """The metrics for comparing runs of the model `name`, with their standard deviations.

    content: of its metrics.json. file: where that is, for messages.

    Raises:
        UserError: the content is something else.
    """
    try:
        return HEADLINES.validate_python(content)[name]
    except (KeyError, ValidationError):
        raise UserError(f"{file}: not the metrics of {name}") from None
