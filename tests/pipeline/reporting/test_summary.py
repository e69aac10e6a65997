"""The summary on the terminal at the end of the pipeline."""

import time

import pytest

from pipeline.reporting import summary, targets
from pipeline.reporting.verdicts import Verdict
from pipeline.running import records
from tests.conftest import ROOT, WITH_TARGETS
from tests.pipeline.reporting.handmade import report, result


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)

    def judge(values: list[float], differences: list[str]) -> list[Verdict]:
        return [
            Verdict(name, target, values, 9.0, differences)
            for name, each in targets.load().items()
            for target in each.targets
        ]

    return judge


RESULTS = {name: result(name) for name in WITH_TARGETS}


def test_lines_fit_80_columns_with_several_seeds_too(judged, capsys):
    summary.show(report(RESULTS, judged([14.123456, 2.0, 3.0], ["other data"])))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("BERT loss  ") and lines[0].endswith("(undecided)")


def test_the_last_lines_say_where_to_look_next(judged, capsys):
    summary.show(report(RESULTS, judged([4.0], [])))
    *_, read, ui, keep = capsys.readouterr().out.splitlines()
    assert read.endswith("reports/metrics.md")
    assert ui.endswith("./run python -m pipeline ui")
    assert keep.endswith("git add params.yaml dvc.lock reports && git commit")


def test_the_result_of_a_queued_experiment_is_applied(judged, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "taut-toad")
    summary.show(report(RESULTS, judged([4.0], [])))
    assert capsys.readouterr().out.endswith("./run dvc exp apply taut-toad\n")


def test_the_time_of_the_whole_run_is_reported(judged, capsys, monkeypatch):
    class Dvc:
        def create_time(self) -> float:
            return time.time() - 372

    monkeypatch.setattr(records, "dvc_process", Dvc)
    summary.show(report(RESULTS, judged([4.0], [])))
    assert "This run took 6:12." in capsys.readouterr().out


def test_brackets_are_explained_where_there_are_some(judged, capsys):
    summary.show(report(RESULTS, judged([4.0], [])))
    assert "brackets" not in capsys.readouterr().out
    summary.show(report(RESULTS, judged([4.0], ["other data"])))
    assert "In brackets: not like for like" in capsys.readouterr().out
    summary.show(report(RESULTS, []))  # data without targets
    assert "brackets" not in capsys.readouterr().out
