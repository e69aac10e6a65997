"""A terminal shows which training runs where, at which step, since when, and its expected end."""

import io
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.params import Params
from pipeline.sweeping.display import Display
from pipeline.sweeping.plan import Training


@dataclass(eq=False)
class Running:
    """A job at a step of its training."""

    what: Training
    where: str
    started: float
    steps: dict[str, float]
    log: Path = Path("log.txt")

    def progress(self) -> dict[str, float]:
        return self.steps

    def succeeded(self) -> bool | None:
        return None

    def stop(self) -> None:
        raise AssertionError

    def finish(self) -> str | None:
        raise AssertionError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def jobs(small: Params) -> list[Running]:
    def training(model: str, seconds: float | None) -> Training:
        return Training(model, 0, model, small, f"lr-{model}", made=False, seconds=seconds)

    began = time.monotonic() - 65
    return [
        Running(training("gpt", 200), "here", began, {"step": 1200, "steps": 3000, "left": 90}),
        Running(training("vit", None), "10.0.0.2", began, {}),
    ]


def shown(stream: io.StringIO, jobs: list[Running], waiting: list[Training], monkeypatch) -> str:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with Display(slots=2) as display:
        for job in jobs:
            display.started(job)
        display.update(jobs, waiting)
        text = stream.getvalue()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_terminal_has_a_row_for_each_running_training(jobs, monkeypatch):
    lines = shown(Terminal(), jobs, [jobs[0].what], monkeypatch).splitlines()
    # Between 1:05 and 1:09: the machine may be slow.
    rows = [re.split(r"\s{2,}", re.sub(r"1:0[5-9]$|1:0[5-9](?= )", "1:05", line.strip()))
            for line in lines]  # fmt: skip
    assert ["running", "where", "step", "since", "left"] in rows
    assert ["gpt, seed 0 (lr-gpt)", "here", "1,200/3,000", "1:05", "1:30"] in rows
    assert ["vit, seed 0 (lr-vit)", "10.0.0.2", "1:05"] in rows  # no step yet, nothing known
    assert any("1 training waiting" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_rest_is_told_where_all_is_known(jobs, monkeypatch):
    text = shown(Terminal(), jobs[:1], [jobs[0].what] * 3, monkeypatch)
    # 90 s and three times 200 s, on two slots.
    assert "3 trainings waiting, about 5:45 left" in text


def test_a_file_gets_lines_alone(jobs, monkeypatch):
    text = shown(io.StringIO(), jobs, [], monkeypatch)
    first, second, third = text.splitlines()
    assert first == "gpt, seed 0 (lr-gpt): started"
    assert second == "vit, seed 0 (lr-vit): started"
    assert third == "gpt, seed 0 (lr-gpt): step 1,200 of 3,000, about 1:30 left"
