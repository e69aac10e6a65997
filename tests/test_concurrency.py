"""Parallel trainings in the workspace and in a queue, with one database and one cache."""

import subprocess
import time

from ruamel.yaml import YAML

from tests import repository
from tests.conftest import MODELS
from tests.interruption import runs
from tests.repository import run


def shrink(folder) -> None:
    """Parameters for runs of seconds, on the default data."""
    yaml, file = YAML(), folder / "params.yaml"
    params = yaml.load(file)
    params["threads"] = 1
    params["model"] |= {"n_layer": 1, "n_head": 2, "d_model": 16, "d_mlp": 32}
    for name in ("bert", "gpt"):
        params[name]["train"] |= {"steps": 20, "batch_size": 8, "warmup_steps": 0}
    params["vit"]["train"] |= {"epochs": 1, "batch_size": 256, "warmup_steps": 0}
    params["vit"]["data"]["image_size"] = 14
    yaml.dump(params, file)


def test_three_trainers_and_a_queue(tmp_path):
    folder = repository.make(tmp_path / "benchmark", commit=False)
    shrink(folder)
    repository.save(folder, "Small trainings")
    prepared = [f"prepare@{name}" for name in MODELS]
    run(folder, "dvc", "repro", *prepared)
    repository.save(folder, "The data")
    run(folder, "dvc", "exp", "run", "--queue", "-S", "gpt.train.batch_size=4,16", "train@gpt-0")
    run(folder, "dvc", "queue", "start", "--jobs", "2")
    trainers = [
        subprocess.Popen(
            ["dvc", "repro", "--single-item", f"train@{name}-0"],
            cwd=folder,
            env=repository.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in MODELS
    ]
    for trainer in trainers:
        output, _ = trainer.communicate()
        assert trainer.returncode == 0, output
        assert "warning: MLflow" not in output, output
    while any(word in (status := run(folder, "dvc", "queue", "status")) for word in ACTIVE):
        time.sleep(0.5)
    assert "Failed" not in status
    names = [trained.data.tags["model"] for trained in runs(folder)]
    assert sorted(names) == ["bert", "gpt", "gpt", "gpt", "vit"]
    assert {trained.info.status for trained in runs(folder)} == {"FINISHED"}
    run(folder, "dvc", "repro")
    assert (folder / "reports" / "metrics.md").exists()


ACTIVE = ("Running", "Queued")


def test_trainings_side_by_side_give_the_lock_of_a_serial_run(tmp_path):
    locks = []
    for command in (["dvc", "repro"], ["python", "-m", "pipeline", "repro", "--jobs", "2"]):
        folder = repository.make(tmp_path / str(len(locks)), commit=False)
        shrink(folder)
        yaml, file = YAML(), folder / "params.yaml"
        params = yaml.load(file)
        params |= {"models": ["vit", "gpt"], "seeds": [0, 1]}
        yaml.dump(params, file)
        repository.save(folder, "Small trainings")
        output = run(folder, *command)
        locks.append(YAML(typ="safe", pure=True).load((folder / "dvc.lock").read_text())["stages"])
    assert list(locks[0]) == list(locks[1])
    for stage in locks[0]:
        if stage != "report":  # it has times
            assert locks[0][stage] == locks[1][stage], stage
    # The trainings ran before DVC, and its stages only wrote their outputs.
    assert output.count("continues after step") == 4
    assert len(runs(folder)) == 4  # in MLflow: each training once
