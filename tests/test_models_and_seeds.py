"""A second model of a known task is an entry in params.yaml; a further seed trains that seed alone.

The tests follow each other in one clone with a GPT and a larger one.
"""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.paths import model_dir, read_json
from tests import repository
from tests.interruption import runs
from tests.repository import run, stages_run

pytestmark = pytest.mark.long
yaml = YAML()


def add_larger(params: dict[str, Any]) -> None:
    """A second GPT, with another number of layers."""
    params["gpt_large"] = copy.deepcopy(params["gpt"])
    params["gpt_large"]["model"]["n_layer"] = 3
    params["model_names"] = ["gpt", "gpt_large"]


def change_params(folder: Path, **values: Any) -> None:
    file = folder / "params.yaml"
    yaml.dump(yaml.load(file) | values, file)


def results(folder: Path) -> dict[str, Any]:
    return read_json(folder / "reports" / "metrics.json")


@pytest.fixture(scope="module")
def larger(tmp_path_factory) -> tuple[Path, str]:
    """A clone that has run both models, and what was printed."""
    folder = repository.make_small(tmp_path_factory.mktemp("models") / "benchmark", add_larger)
    return folder, run(folder, "dvc", "exp", "run", "-S", "+profile=smoke")


@pytest.fixture(scope="module")
def seeded(larger, tmp_path_factory) -> tuple[tuple[Path, str], tuple[Path, str]]:
    """Two clones of it that have run two more seeds of the larger one, one after another and side
    by side, and what was printed."""
    serial, _ = larger
    repository.save(serial, "Results")
    folder = tmp_path_factory.mktemp("seeds") / "benchmark"
    side_by_side = shutil.copytree(serial, folder, symlinks=True)
    found = []
    for folder, command in (
        (serial, ("dvc", "repro")),
        (side_by_side, ("python", "-m", "pipeline", "repro", "--jobs", "2")),
    ):
        change_params(folder, model_names=["gpt_large"], seeds=[0, 1, 2])
        found.append((folder, run(folder, *command)))
    return found[0], found[1]


def test_a_second_model_of_a_task_runs_through_every_stage(larger):
    folder, output = larger
    names = ("gpt", "gpt_large")
    expected = [f"{stage}@{name}" for stage in ("prepare", "aggregate") for name in names]
    expected += [f"{stage}@{name}-0" for stage in ("train", "evaluate") for name in names]
    assert sorted(stages_run(output)) == sorted([*expected, "report"])
    configs = [read_json(folder / model_dir(name, 0) / "config.json") for name in names]
    assert [config["architecture"]["n_layer"] for config in configs] == [2, 3]
    report = (folder / "reports" / "metrics.md").read_text()
    assert "## GPT large" in report
    assert "- **GPT large**: no targets; " in report
    for name in names:
        assert (folder / "reports" / "pictures" / f"{name}.png").exists()
        assert list(read_json(folder / "reports" / name / "metrics.json")) == [name]
    assert {verdict["model"] for verdict in results(folder)["verdicts"]} == {"gpt"}
    assert sorted(trained.data.tags["model"] for trained in runs(folder)) == sorted(names)


def test_with_targets_it_is_judged_without_another_training(larger):
    folder, _ = larger
    file = folder / "reports" / "targets.yaml"
    targets = yaml.load(file)
    yaml.dump(targets | {"gpt_large": targets["gpt"]}, file)
    assert stages_run(run(folder, "dvc", "repro")) == ["report"]
    judged = [(each["model"], each["target"]["name"]) for each in results(folder)["verdicts"]]
    wanted = [target["name"] for target in targets["gpt"]["targets"]]
    assert judged == [(name, target) for name in ("gpt", "gpt_large") for target in wanted]


def test_further_seeds_train_these_seeds_alone(seeded):
    """And a list of models leaves the others out."""
    (folder, output), _ = seeded
    new = [f"{stage}@gpt_large-{seed}" for stage in ("train", "evaluate") for seed in (1, 2)]
    assert stages_run(output) == [*new, "aggregate@gpt_large", "report"]
    assert len(runs(folder)) == 4
    found = results(folder)
    assert list(found["models"]) == ["gpt_large"]
    assert [each["seed"] for each in found["models"]["gpt_large"]["trainings"]] == [0, 1, 2]
    assert {len(verdict["values"]) for verdict in found["verdicts"]} == {3}
    report = (folder / "reports" / "metrics.md").read_text()
    assert ", seeds 0, 1, 2, " in report
    assert "Ours is the mean over 3 seeds" in report
    assert "up to date" in run(folder, "dvc", "status")


def test_further_seeds_side_by_side_give_the_same_lock(seeded):
    (serial, _), (folder, output) = seeded
    assert output.count("continues after step") == 2
    assert len(runs(folder)) == 4
    locks = [yaml.load(each / "dvc.lock")["stages"] for each in (serial, folder)]
    assert list(locks[0]) == list(locks[1])
    for lock in locks:
        # The report has times, and the outputs of the report are in its entry alone.
        lock["report"].pop("outs")
    assert locks[0] == locks[1]
