"""The whole report as one object: written by `report` as metrics.json, read by `verify`."""

from typing import Any

from pydantic import TypeAdapter, computed_field
from pydantic.dataclasses import dataclass

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


# Reads the content of a metrics.json, or raises a ValidationError. What follows from other values,
# such as means and outcomes, is computed again.
ADAPTER = TypeAdapter(Report)
