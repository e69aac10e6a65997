"""Progress of the pipeline: the number of the stage, and how long `dvc` has been running."""

import os
import time

from pipeline.params import Params
from pipeline.running import records
from pipeline.wording import duration

KINDS = ("prepare", "train", "evaluate", "aggregate", "report")


def stages(params: Params) -> list[str]:
    """The stages by their names in dvc.yaml, in the order in which `dvc repro` runs them."""
    models = params.model_names
    trainings = [f"{name}-{seed}" for name in models for seed in params.seeds]
    return [
        *(f"prepare@{name}" for name in models),
        *(f"{stage}@{each}" for stage in ("train", "evaluate") for each in trainings),
        *(f"aggregate@{name}" for name in models),
        "report",
    ]


def announce(params: Params, stage: str, model: str | None = None, seed: int | None = None) -> None:
    """Print the number of the stage that begins, if `dvc` runs it; not in the processes of a
    training, whose launcher has printed it."""
    seconds = elapsed()
    if seconds is not None and "RANK" not in os.environ:
        item = "-".join(str(part) for part in (model, seed) if part is not None)
        every = stages(params)
        number = every.index(f"{stage}@{item}" if item else stage) + 1
        since = f"{duration(seconds)} since the start"
        print(f"stage {number} of {len(every)}, {since}", flush=True)


def elapsed() -> float | None:
    """Seconds since the `dvc` that runs this stage started; None without `dvc`."""
    dvc = records.dvc_process()
    return time.time() - dvc.create_time() if dvc else None


def whole() -> bool:
    """Whether `dvc` runs all stages, not only those given on its command line."""
    dvc = records.dvc_process()
    return dvc is not None and not any(word.split("@")[0] in KINDS for word in dvc.cmdline())
