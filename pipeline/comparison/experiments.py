"""An experiment: its report at a revision, as the stage `report` wrote it."""

import json
from dataclasses import dataclass

from ruamel.yaml import YAML

from pipeline.comparison.revisions import Revision
from pipeline.errors import UserError
from pipeline.paths import PARAMS, REPORTS
from pipeline.reporting import schema
from pipeline.reporting.schema import Report
from pipeline.results import Result

FILE = REPORTS / "metrics.json"


@dataclass(frozen=True)
class Experiment:
    """What a revision has of results.

    models: the results by name, in the order of params.yaml.
    headline: the metrics for comparing runs of each model, as in `dvc exp show`.
    """

    revision: Revision
    report: Report
    models: dict[str, Result]
    headline: dict[str, list[str]]

    @property
    def name(self) -> str:
        """As the user calls it."""
        return self.revision.name


def read(revision: Revision) -> Experiment:
    """The experiment at a revision.

    Raises:
        UserError: the revision has no results, those of other parameters, or those of another
            version of the program.
    """
    text = revision.read_bytes(FILE)
    if text is None:
        raise UserError(f"{revision.name} has no results: {FILE} is missing; run `dvc repro` there")
    try:
        report = schema.read(json.loads(text))
        models = {name: report.models[name] for name in report.params["model_names"]}
        headline = {name: _headline(revision, name) for name in models}
    except (UserError, ValueError) as error:  # ValueError: invalid JSON or UTF-8
        raise UserError(
            f"{revision.name}: {FILE} is not a report of this version of the program\n  {error}"
        ) from None
    if YAML(typ="safe", pure=True).load(revision.read(PARAMS)) != report.params:
        raise UserError(
            f"{revision.name}: its report was made with other parameters than its {PARAMS} has: "
            "run `dvc repro` there"
        )
    return Experiment(revision, report, models, headline)


def _headline(revision: Revision, name: str) -> list[str]:
    file = REPORTS / name / "metrics.json"
    content = json.loads(revision.read_bytes(file) or b"{}")  # a missing file has no metrics
    return [key for key in schema.headline(content, name, file) if not key.endswith("_std")]
