"""A plan says what is finished, what is shared, and how long the rest takes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.paths import data_dir, write_json
from pipeline.running import durations
from pipeline.sweeping.copies import snapshot
from pipeline.sweeping.draws import grid
from pipeline.sweeping.plan import Plan, plan
from tests.conftest import ROOT

RATES = ["model_names=[gpt,vit]", "gpt.train.lr=0.1,0.2,0.4", "seeds=[0,1]"]


@pytest.fixture
def clone(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the files that decide an experiment's parameters, and one of code."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    for name in ("params.yaml", "profile", ".dvc/config"):
        source, target = ROOT / name, project / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    (project / "code.py").write_text("one = 1\n")
    git("init", "-q")
    git("add", "params.yaml", "profile", ".dvc/config", "code.py")
    git("commit", "-qm", "one")
    return project


def git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], text=True).strip()


def planned(name: str = "lr", overrides: list[str] = RATES) -> Plan:
    return plan(name, grid(overrides), snapshot())


def finish(name: str, overrides: str) -> str:
    """A commit as of an experiment of DVC; returns it."""
    taken = snapshot()
    text = Path("params.yaml").read_text()
    (made,) = planned("any", [*RATES, overrides]).experiments
    write_json(made.params.content(), Path("params.yaml"))  # which is YAML too
    commit = git("stash", "create")
    Path("params.yaml").write_text(text)
    git("update-ref", f"{taken.refs}/{name}", commit)
    return commit


def test_trainings_that_experiments_share_are_planned_once(clone):
    made = planned()
    assert [each.name for each in made.experiments] == ["lr-1", "lr-2", "lr-3"]
    assert [(each.model, each.seed, each.experiment) for each in made.waiting] == [
        ("gpt", 0, "lr-1"), ("gpt", 1, "lr-1"), ("vit", 0, "lr-1"), ("vit", 1, "lr-1"),
        ("gpt", 0, "lr-2"), ("gpt", 1, "lr-2"), ("gpt", 0, "lr-3"), ("gpt", 1, "lr-3"),
    ]  # fmt: skip
    assert [len(each.trainings) for each in made.experiments] == [4, 4, 4]


def test_the_same_parameters_in_other_words_are_one_experiment(clone):
    assert len(planned("lr", ["gpt.train.lr=0.003,3e-3", "threads=1,2"]).experiments) == 2


def test_finished_experiments_keep_their_numbers(clone):
    commit = finish("lr-2", "gpt.train.lr=0.4")
    made = planned()
    assert [each.name for each in made.experiments] == ["lr-1", "lr-3", "lr-2"]
    assert [each.commit for each in made.experiments] == [None, None, commit]
    assert {each.experiment for each in made.waiting} == {"lr-1", "lr-3"}
    assert [each.name for each in planned("l").experiments] == ["l-1", "l-2", "l-3"]


def test_an_experiment_of_other_code_is_not_the_same(clone):
    commit = finish("lr-1", "gpt.train.lr=0.1")
    assert planned().experiments[0].commit == commit
    (clone / "code.py").write_text("one = 2\n")
    assert [each.name for each in planned().experiments] == ["lr-2", "lr-3", "lr-4"]
    assert planned().waiting[0].experiment == "lr-2"
    git("commit", "-qam", "two")  # experiments belong to their commit
    assert [each.name for each in planned().experiments] == ["lr-1", "lr-2", "lr-3"]


def test_the_expected_time_is_that_of_the_last_training_times_the_work(clone):
    write_json({"sequence_length": 8, "vocabulary_size": 20}, data_dir("gpt") / "meta.json")
    first = planned().waiting[0]
    durations.remember(first.params, "gpt", 0, 100.0)
    again = planned(overrides=[*RATES, "gpt.train.steps=150,450"])
    assert [each.made for each in again.trainings.values() if each.recipe == first.recipe] == [True]
    times = [each.seconds for each in again.waiting if each.model == "gpt"]
    assert times[:2] == [100.0, pytest.approx(300.0)]
    assert {each.seconds for each in again.waiting if each.model == "vit"} == {None}


def sweep(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["sweep", "lr", *arguments])
    return done.exit_code, done.output


def test_a_dry_run_tells_all_and_runs_nothing(clone):
    finish("lr-3", "gpt.train.lr=0.4")
    code, output = sweep(*(word for each in RATES[:2] for word in ("-S", each)),
                         "--seeds", "0,1", "--jobs", "1000", "--dry-run")  # fmt: skip
    assert code == 0
    assert output.splitlines()[:6] == [
        "3 experiments, 2 to run:",
        "  lr-1: model_names=[gpt,vit] gpt.train.lr=0.1 seeds=[0,1]",
        "  lr-2: model_names=[gpt,vit] gpt.train.lr=0.2 seeds=[0,1]",
        "  lr-3: model_names=[gpt,vit] gpt.train.lr=0.4 seeds=[0,1] (finished)",
        "6 trainings to run: 4 of gpt and 2 of vit",
        "expected time: unknown, because no such model was trained on this machine",
    ]
    assert output.splitlines()[6].startswith("note: 1,000 trainings of 2 threads share")
    assert not list((clone / ".dvc" / "tmp" / "sweep" / "lr").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 1, "no overrides: give -S"),
        (["-S", "model.n_layer=2,two"], 2, "with -S model.n_layer=two: "),
        (["-S", "+model.layers=2"], 2, "model.layers: unknown key"),
        (["-S", "threads=1", "--seeds", "0,0"], 2, "seeds: one is listed twice"),
        (["-S", "threads=1", "--seeds", "a"], 2, "seeds.0: "),
        (["-S", "threads=1,2", "--random", "3"], 1, "only 2 different combinations"),
        (["--list", "params.yaml", "--random", "3"], 1, "--list and --random"),
        (["-S", "threads=1", "--on", "auto"], 1, "a cluster needs a DVC remote"),
    ],
)
def test_mistakes_are_told_before_anything_starts(clone, arguments, code, said):
    if "--on" in arguments:
        pytest.importorskip("ray")
    found, output = sweep(*arguments)
    assert (found, said in output) == (code, True), output
    assert not list(clone.glob(".dvc/tmp/sweep/lr/*/"))


def test_a_cluster_that_cannot_be_used_is_told_before_anything_starts(clone):
    pytest.importorskip("ray")
    own = clone / "data" / "own" / "novel.txt"
    own.parent.mkdir(parents=True)
    own.write_text("To be")
    here = "127.0.0.1:1"
    for remote, override, address, said in (
        ("mount/remote", "threads=1", here, "the DVC remote does not answer: "),
        ("remote", "gpt.data.text=data/own/novel.txt", here, "nodes get only data that is in git"),
        ("remote", "threads=1", here, "no cluster of Ray at 127.0.0.1:1: [Errno 111]"),
        ("remote", "threads=1", "", "--on is empty: expected auto, HOST:6379 or ray://"),
    ):
        settings = f"[core]\n remote = disk\n['remote \"disk\"']\n url = {clone / remote}\n"
        (clone / ".dvc" / "config.local").write_text(settings)
        code, output = sweep("-S", override, "--on", address)
        assert (code, said in output) == (1, True), output


def test_a_name_that_git_does_not_allow_is_refused(clone):
    for name in ("a b", "a/b", ".."):
        done = CliRunner().invoke(main, ["sweep", name, "-S", "threads=1", "--dry-run"])
        assert done.exit_code == 1 and "not a name of an experiment" in done.output
