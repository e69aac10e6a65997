"""Progress of the pipeline: the number of the stage, and how long `dvc` has been running."""

import time

from pipeline import MODELS, records
from pipeline.wording import duration

MATRIX = ("prepare", "train", "evaluate")
# In the order in which `dvc repro` runs them.
STAGES = (*(f"{stage}@{model}" for stage in MATRIX for model in MODELS), "report")


def announce(stage: str, model: str | None = None) -> None:
    """Print the number of the stage that begins, if `dvc` runs it."""
    seconds = elapsed()
    if seconds is not None:
        number = STAGES.index(f"{stage}@{model}" if model else stage) + 1
        since = f"{duration(seconds)} since the start"
        print(f"stage {number} of {len(STAGES)}, {since}", flush=True)


def elapsed() -> float | None:
    """Seconds since the `dvc` that runs this stage started; None without `dvc`."""
    dvc = records.dvc_process()
    return time.time() - dvc.create_time() if dvc else None


def whole() -> bool:
    """Whether `dvc` runs all stages, not only those given on its command line."""
    dvc = records.dvc_process()
    kinds = {*MATRIX, "report"}
    return dvc is not None and not any(word.split("@")[0] in kinds for word in dvc.cmdline())
