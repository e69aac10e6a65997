"""Results of comparing a report with a repeated training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file

from pipeline.paths import WEIGHTS, model_dir, sha256
from pipeline.results import Training
from pipeline.verification.differences import differences
from pipeline.wording import counted

# The largest relative difference that `verify` calls "equal within"; it prints the size as well.
CLOSE = 1e-3


@dataclass
class Findings:
    """The results for one model.

    identical: what is identical. differing: a line for each difference.
    largest: the largest relative difference of metrics, also in the curves.
    contradictions: a line for each contradiction inside the report.
    """

    identical: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    largest: float = 0.0
    contradictions: list[str] = field(default_factory=list)

    @property
    def close(self) -> bool:
        """Whether what differs is equal within CLOSE."""
        return 0 < self.largest <= CLOSE

    def verdict(self) -> str:
        """The result in a few words."""
        if not self.differing:
            return f"identical: {', '.join(self.identical)}"
        same = f" (identical: {', '.join(self.identical)})" if self.identical else ""
        if not self.largest <= CLOSE:  # `not <=`, because NaN is not close to anything
            return f"different{same}"
        return f"equal within {self.largest:.2g}{same}" if self.largest else f"other weights{same}"


def compare_curves(
    theirs: pd.DataFrame, ours: pd.DataFrame, what: str, whole: bool, found: Findings
) -> None:
    """Add to `found` whether two curves are equal, or where they first differ.

    what: the name of a row, such as "step". whole: whether they must have the same length;
        otherwise theirs may be longer.
    """
    lengths = len(theirs) == len(ours) if whole else len(theirs) >= len(ours)
    if list(theirs.columns) != list(ours.columns) or not lengths:
        found.largest = float("inf")
        found.differing.append(
            f"not comparable: {counted(len(theirs), f'recorded {what}')} of "
            f"{', '.join(theirs.columns)}; now {len(ours):,} of {', '.join(ours.columns)}"
        )
        return
    theirs = theirs.head(len(ours))
    count = counted(len(ours), what)
    differing = theirs.ne(ours)
    if not differing.to_numpy().any():
        found.identical.append(count)
        return
    relative = (theirs - ours).abs() / theirs.abs().clip(lower=1e-12)
    found.largest = max(found.largest, relative.to_numpy().max())
    row = differing.any(axis=1).idxmax()
    column = differing.loc[row].idxmax()
    found.differing.append(
        f"{count}: first differs at step {int(ours['step'][row])} in {column}: "
        f"{theirs[column][row]:.9g} recorded, {ours[column][row]:.9g} now; relative difference "
        f"{relative[column][row]:.2g}, at most {relative.to_numpy().max():.2g}"
    )


def compare_metrics(training: Training, ours: dict[str, Any], found: Findings) -> None:
    """Compare the metrics of a training and its evaluation, except the checksum of the weights."""
    theirs = {key: value for key, value in training.metrics.items() if key != "weights_sha256"}
    differing = differences(theirs, ours)
    if not differing:
        found.identical.append(f"{counted(len(ours), 'metric')} with seed {training.seed}")
    for line, size in differing:
        found.largest = max(found.largest, size)
        found.differing.append(f"with seed {training.seed}, {line}")


def compare_weights(training: Training, name: str, file: Path, found: Findings) -> None:
    """Compare trained weights with the recorded checksum, and with the recorded tensors if they are
    still in models/."""
    expected, seed = training.metrics["weights_sha256"], training.seed
    if sha256(file) == expected:
        found.identical.append(f"weights with seed {seed} (SHA-256 {expected[:12]})")
        return
    ours = load_file(file)
    kept = model_dir(name, seed) / WEIGHTS
    if not kept.exists() or sha256(kept) != expected:
        found.differing.append(
            f"other weights with seed {seed}; the size of the difference is unknown: {kept} is not "
            "the recorded file"
        )
        return
    theirs = load_file(kept)
    sizes = {key: (theirs[key] - ours[key]).abs().max().item() for key in sorted(ours)}
    first = next((key for key, size in sizes.items() if size != 0), None)
    found.differing.append(
        f"other weights with seed {seed}: the first tensor that differs is {first}, by "
        f"{sizes[first]:.2g} at most; of {len(sizes)} tensors {sum(map(bool, sizes.values()))} "
        f"differ, by {max(sizes.values()):.2g} at most"
        if first
        else f"other weights file with seed {seed}, but all tensors are equal"
    )
