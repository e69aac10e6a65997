"""Estimates how much training follows the current one, for the time left on the console."""

from typing import Any

from pipeline.params import Params
from pipeline.paths import data_dir, read_json
from pipeline.running import progress, records
from pipeline.running.checkpoint import identity
from pipeline.tasks import task_class


def after(params: Params, name: str, seed: int) -> float:
    """The work of all trainings after the one of the model `name` with `seed`, as a multiple of it.

    These are the later ones if `dvc` runs the whole pipeline, except those in DVC's cache.
    """
    trainings = [(each, s) for each in params.model_names for s in params.seeds]
    if (name, seed) not in trainings or not progress.whole():
        return 0.0
    rest = 0.0
    for model, each in trainings[trainings.index((name, seed)) + 1 :]:
        meta = data_dir(model) / "meta.json"
        data = read_json(meta) if meta.exists() else None
        if data and not records.made(
            "train", f"{model}-{each}", identity(params, model, each, data["fingerprint"])
        ):
            rest += work(params, model, data)
    return rest / work(params, name, read_json(data_dir(name) / "meta.json"))


def work(params: Params, name: str, meta: dict[str, Any]) -> float:
    """Approximate FLOPs of a training: see `Task.work`.

    meta: of the prepared data.
    """
    section = params.section(name)
    return task_class(section.task).work(section, meta)
