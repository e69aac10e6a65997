"""The summary on the terminal at the end of the pipeline."""

import os

from pipeline.paths import PARAMS, REPORTS, root
from pipeline.reporting.opening import margin, title
from pipeline.reporting.schema import Report
from pipeline.running import progress
from pipeline.wording import duration, number


def show(report: Report) -> None:
    """Print the verdicts, the duration, and where to look next."""
    rows = [
        (
            f"{title(report.models[verdict.model])} {verdict.target.name}",
            number(verdict.ours) + margin(verdict),
            f"target {number(verdict.target.value)}",
            str(verdict),
        )
        for verdict in report.verdicts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    if not all(verdict.like_for_like for verdict in report.verdicts):
        print("In brackets: not like for like, does not count.")
    seconds = progress.elapsed()
    if seconds is not None:
        print(f"This run took {duration(seconds)}.")
    print(f"Next, read the report: {REPORTS / 'metrics.md'}")
    print("Browse the runs: ./run python -m pipeline ui")
    print(_keep())


def _keep() -> str:
    """How to keep the result; the result of a queued experiment is not in the workspace."""
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment and not os.path.samefile(root(), "."):
        return f"Apply the result: ./run dvc exp apply {experiment}"
    return f"Keep the result: git add {PARAMS} dvc.lock {REPORTS} && git commit"
