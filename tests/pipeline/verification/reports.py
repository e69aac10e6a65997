"""Changes reports for tests, and reads the output of `verify`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.wording import WIDTH

REPORT = Path("reports")
METRICS = REPORT / "metrics.json"


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder, with their content."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): content for path, content in found.items()}


def rewrite(change) -> None:
    """Change the content of metrics.json."""
    content = json.loads(METRICS.read_text())
    change(content)
    METRICS.write_text(json.dumps(content))


def training_metrics(name: str, index: int) -> dict:
    """The metrics of a training in metrics.json."""
    return json.loads(METRICS.read_text())["models"][name]["trainings"][index]["metrics"]


def alter_last_bit(name: str, step: int, column: str) -> None:
    """Change a recorded metric to the next number of single precision."""
    file = REPORT / name / "history.csv"
    lines = file.read_text().splitlines()
    row = lines[step].split(",")
    index = lines[0].split(",").index(column)
    row[index] = f"{np.nextafter(np.float32(row[index]), np.float32(1e9)):.9g}"
    lines[step] = ",".join(row)
    file.write_text("\n".join(lines) + "\n")


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """The output of `verify`, each message on one line; checks that it fits the terminal."""
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines()), default=0) <= WIDTH
    return re.sub(r"\n {8}", " ", text)
