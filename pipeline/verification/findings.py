"""What came of the comparison of a report with what is computed again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file

from pipeline import models, records
from pipeline.paths import model_dir
from pipeline.verification.figures import differences
from pipeline.verification.recorded import Trained
from pipeline.wording import counted

# Beyond it two curves are no longer called equal: a choice of words, the size is told as well.
CLOSE = 1e-3


@dataclass
class Findings:
    """What came of the comparison: things that are identical, and lines on what is not.

    largest: relative difference of any two figures, of the curves or at the end.
    contradictions: lines on where the report is not even in keeping with itself.
    """

    identical: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    largest: float = 0.0
    contradictions: list[str] = field(default_factory=list)

    def verdict(self) -> str:
        """What came of it, in a few words."""
        if not self.differing:
            return f"identical: {', '.join(self.identical)}"
        same = f" (identical: {', '.join(self.identical)})" if self.identical else ""
        if not self.largest <= CLOSE:  # nor is anything close to what is not a number
            return f"different{same}"
        return f"equal within {self.largest:.2g}{same}" if self.largest else f"other weights{same}"


def compare_curves(
    theirs: pd.DataFrame, ours: pd.DataFrame, what: str, whole: bool, found: Findings
) -> None:
    """Add to `found` whether two curves agree, and if not where they differ first.

    what: a row of them is, such as "step". whole: whether theirs may not go on for longer.
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
        f"{theirs[column][row]:.9g} recorded, {ours[column][row]:.9g} now, "
        f"{relative[column][row]:.2g} of it; at most {relative.to_numpy().max():.2g}"
    )


def compare_figures(training: Trained, ours: dict[str, Any], found: Findings) -> None:
    """The figures of the training and of the evaluation, all but the checksum among them."""
    theirs = training.figures.model_dump(exclude={"weights_sha256"})
    differing = differences(theirs, ours)
    if not differing:
        found.identical.append(f"{counted(len(ours), 'figure')} with seed {training.seed}")
    for said, size in differing:
        found.largest = max(found.largest, size)
        found.differing.append(f"with seed {training.seed}, {said}")


def compare_weights(training: Trained, name: str, file: Path, found: Findings) -> None:
    """The trained weights against the recorded checksum, and tensor by tensor where they are."""
    expected, seed = training.figures.weights_sha256, training.seed
    if records.sha256(file) == expected:
        found.identical.append(f"weights with seed {seed} (SHA-256 {expected[:12]})")
        return
    ours = load_file(file)
    kept = model_dir(name, seed) / models.WEIGHTS
    if not kept.exists() or records.sha256(kept) != expected:
        found.differing.append(
            f"other weights with seed {seed}; how much is not known, since {kept} does not hold "
            "the recorded ones"
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
        else f"other weights with seed {seed}, by the file's checksum alone: all tensors are equal"
    )
