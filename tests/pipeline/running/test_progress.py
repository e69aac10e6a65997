"""The number of the current stage."""

import time

import pytest

from pipeline.params import load
from pipeline.running import progress, records
from tests import repository
from tests.conftest import ROOT


class Dvc:
    """Replaces the process of a `dvc` that started 65 seconds ago."""

    def __init__(self, *command: str):
        self.command = list(command)

    def create_time(self) -> float:
        return time.time() - 65

    def cmdline(self) -> list[str]:
        return self.command


def test_stages_are_numbered_as_dvc_runs_them(tmp_path):
    folder = repository.make(tmp_path / "clone")
    planned = repository.run(folder, "dvc", "repro", "--dry", "--force")
    lines = [line for line in planned.splitlines() if line.startswith("Running stage")]
    assert [line.split("'")[1] for line in lines] == progress.stages(load(ROOT / "params.yaml"))


def test_a_stage_says_which_it_is_and_how_long_dvc_runs(monkeypatch, capsys):
    monkeypatch.setattr(records, "dvc_process", lambda: Dvc("dvc", "repro"))
    params = load(ROOT / "params.yaml")
    progress.announce(params, "train", "gpt", 0)
    progress.announce(params, "report")
    assert capsys.readouterr().out.splitlines() == [
        "stage 6 of 17, 1:05 since the start",
        "stage 17 of 17, 1:05 since the start",
    ]


def test_a_stage_by_hand_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(records, "dvc_process", lambda: None)
    progress.announce(load(ROOT / "params.yaml"), "train", "gpt", 0)
    assert capsys.readouterr().out == ""
    assert not progress.whole()


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        (["dvc", "repro"], True),
        (["dvc", "exp", "run", "-S", "bert.train.lr=0.1"], True),
        (["dvc", "repro", "train@bert"], False),
        (["dvc", "exp", "run", "train"], False),
    ],
)
def test_the_rest_of_the_pipeline_follows_unless_stages_were_named(monkeypatch, command, whole):
    monkeypatch.setattr(records, "dvc_process", lambda: Dvc("python", *command))
    assert progress.whole() is whole
