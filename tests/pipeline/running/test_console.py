"""Output during training."""

import io

import pytest
from rich.console import Console as Terminal
from rich.text import Text

from pipeline.running import console
from pipeline.running.console import Console


@pytest.fixture
def bar(monkeypatch) -> tuple[Console, Terminal]:
    """A progress bar with the widest usual texts, on a terminal of 80 columns."""
    terminal = Terminal(file=io.StringIO(), force_terminal=True, width=80, legacy_windows=False)
    monkeypatch.setattr(console, "Terminal", lambda **_: terminal)
    return Console("bert, seed 12", 10_000, 0, "tokens"), terminal


def shown(bar: Console, terminal: Terminal) -> str:
    with terminal.capture() as captured:
        bar.close()  # shows it for the last time
    return Text.from_ansi(captured.get()).plain


def test_there_is_no_loss_before_the_first(bar):
    assert "nan" not in shown(*bar) and "loss" not in shown(*bar)


def test_the_bar_is_one_line_of_80_columns_with_all_its_metrics(bar):
    bar[0].update(9_990, 10.1234, 14_136, 3765)
    (line,) = shown(*bar).splitlines()
    speed = "loss 10.123 14,136 tokens/s 1:02:45 to train"
    for part in ("bert, seed 12", "9,990/10,000", speed):
        assert part in line


def test_lines_tell_the_seed_and_the_training_time_left(capsys):
    lines = Console("bert, seed 12", 10_000, 0, "tokens")
    lines.line("Epoch: 142 | train_loss: 1.1000 | train_acc: 0.5000", 3765)
    lines.line("after step 99999 | test_loss: 1.0538 | test_acc: 0.5417")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 12 | Epoch: 142 | ") and first.endswith(" | 1:02:45 to train")
    assert second == "seed 12 | after step 99999 | test_loss: 1.0538 | test_acc: 0.5417"
    assert max(len(first), len(second)) <= 80


def test_seeds_are_reported_where_there_are_several(capsys):
    for title in ("bert", "bert, seed 1"):
        opened = Console(title, 10, 0, "tokens")
        opened.line("it: 10")
        opened.close()
    assert capsys.readouterr().out == "it: 10\nseed 1 | it: 10\n"
