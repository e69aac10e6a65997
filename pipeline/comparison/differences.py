"""What differs between experiments, and which differences forbid to compare a metric."""

from collections.abc import Sequence
from typing import Any

from pipeline.comparison.experiments import Experiment
from pipeline.comparison.revisions import changed_code
from pipeline.reporting.targets import ModelTargets
from pipeline.results import Result
from pipeline.yaml_file import flatten

CODE = ("dvc.yaml", "pipeline", "transformer")
MISSING = "missing"


def parameters(experiments: Sequence[Experiment], models: Sequence[str]) -> dict[str, list[Any]]:
    """The parameters that differ: the value in each experiment, by dotted key. Leaves out those of
    other models than `models`, and the name of the profile."""
    columns = []
    for each in experiments:
        sections = {
            key: value
            for key, value in each.report.params.items()
            if key in models or not (isinstance(value, dict) and "task" in value)
        }
        columns.append(flatten(sections))
        columns[-1].pop("profile", None)
    return _differing(columns)


def data(experiments: Sequence[Experiment], models: Sequence[str]) -> dict[str, list[Any]]:
    """The prepared data that differ, by the beginnings of their fingerprints, likewise."""
    return _differing(
        [
            {
                f"data of {name}": each.models[name].data.get("fingerprint", MISSING)[:12]
                for name in models
                if name in each.models
            }
            for each in experiments
        ]
    )


def environments(experiments: Sequence[Experiment]) -> dict[str, list[Any]]:
    """The versions, devices and processors of the trainings that differ, likewise."""
    return _differing([_environment(each) for each in experiments])


def code(experiments: Sequence[Experiment]) -> list[list[str]]:
    """For each experiment, the files of code that differ from those of the first."""
    first, *others = (each.revision for each in experiments)
    return [[], *(changed_code(first, other, CODE) for other in others)]


def unlike(
    first: Experiment, other: Experiment, model: str, metric: str, targets: dict[str, ModelTargets]
) -> list[str]:
    """Why a metric of a model is not comparable: other data, another split or measure.

    targets: of the models, which name the parameters that decide how metrics are measured.
    """
    ours, theirs = other.models[model], first.models[model]
    if ours.task != theirs.task:
        return [f"the task is {ours.task}, not {theirs.task}"]
    measuring = {path for each in targets.values() for path in each.measure}
    sections = [flatten(each.report.params[model]) for each in (first, other)]
    decisive = [
        {key: value for key, value in section.items() if _is_data(key) or key in measuring}
        for section in sections
    ]
    reasons = _reasons(model, _differing(decisive))
    if not any(map(_is_data, _differing(decisive))) and _content(ours) != _content(theirs):
        reasons.append(f"{model}: the prepared data differ")
    measures = [flatten(each.measures.get(metric, {})) for each in (theirs, ours)]
    return reasons + _reasons(f"{model}.{metric}", _differing(measures))


def _is_data(key: str) -> bool:
    return key.startswith("data.")


def _content(result: Result) -> list[Any]:
    """The content of the prepared data, and the classes or sounds that they number."""
    return [result.data.get(key) for key in ("fingerprint", "classes", "letters", "sounds")]


def _reasons(place: str, differing: dict[str, list[Any]]) -> list[str]:
    return [f"{place}.{key} is {ours}, not {theirs}" for key, (theirs, ours) in differing.items()]


def _environment(experiment: Experiment) -> dict[str, str]:
    """Versions, devices and processors: of the trainings with a record, otherwise of the report."""
    trainings = [each for model in experiment.models.values() for each in model.trainings]
    found: dict[str, set[str]] = {}
    for record in filter(None, (training.record for training in trainings)):
        about = {"device": record["device"], "processor": record["machine"]["cpu"]}
        for key, value in (about | record["versions"]).items():
            found.setdefault(key, set()).add(value)
    return {key: ", ".join(sorted(values)) for key, values in found.items()} or (
        {"processor": experiment.report.machine["cpu"]} | experiment.report.versions
    )


def _differing(columns: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The rows of the columns whose values are not all equal, by their key."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: [column.get(key, MISSING) for column in columns] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}
