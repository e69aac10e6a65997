"""What tests do to a report, and what `verify` says of it then."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.wording import WIDTH

REPORT = Path("reports")
METRICS = REPORT / "metrics.json"


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, with its content."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): content for path, content in found.items()}


def rewrite(change) -> None:
    """Change what metrics.json says."""
    content = json.loads(METRICS.read_text())
    change(content)
    METRICS.write_text(json.dumps(content))


def training_figures(name: str, index: int) -> dict:
    """What metrics.json says of a training."""
    return json.loads(METRICS.read_text())["models"][name]["trainings"][index]["figures"]


def alter_last_bit(name: str, step: int, column: str) -> None:
    """Change a recorded figure to the next number that single precision has."""
    file = REPORT / name / "history.csv"
    lines = file.read_text().splitlines()
    row = lines[step].split(",")
    index = lines[0].split(",").index(column)
    row[index] = f"{np.nextafter(np.float32(row[index]), np.float32(1e9)):.9g}"
    lines[step] = ",".join(row)
    file.write_text("\n".join(lines) + "\n")


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What `verify` printed, each message on one line; on the terminal it fits the width."""
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines()), default=0) <= WIDTH
    return re.sub(r"\n {8}", " ", text)
