"""The training loop: the arithmetic of a step, and exact resumption."""

import os
import re
import shutil
import signal
import subprocess
import sys

import mlflow
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from pipeline.errors import UserError
from pipeline.params import Params, validate
from pipeline.paths import data_dir
from pipeline.running.checkpoint import Checkpoint
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.tracking.store import EXPERIMENT
from pipeline.training import loop
from pipeline.training.history import History
from tests.conftest import MODELS, ROOT, build

CPU = torch.device("cpu")


class Interrupted(Exception):
    """Replaces an interruption of the process."""


def changed(params: Params, name: str, **settings) -> Params:
    content = params.content()
    content[name]["train"] |= settings
    return validate(content)


def outputs(project, name):
    files = [project / "models" / name / "seed-0" / "model.safetensors"]
    files += [
        project / "models" / name / "seed-0" / f"{kind}.csv" for kind in ("history", "validation")
    ]
    return [file.read_bytes() for file in files]


def remove_checkpoints(project):
    """Remove the checkpoint of a training."""
    shutil.rmtree(project / ".checkpoints")


# With what draws random numbers in a step, or normalises.
MIXED = {"objective": {"mixup": 0.8, "cutmix": 1.0}, "model": {"stem": "convolutional"}}


@pytest.mark.parametrize(("name", "recipe"), [*((name, {}) for name in MODELS), ("vit", MIXED)])
def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    small, project, monkeypatch, name, recipe
):
    content = small.content()
    for part, values in recipe.items():
        content[name][part] |= values
    small = changed(validate(content), name, checkpoint_every=1 if name == "vit" else 3)
    prepare(small, name)
    train(small, name, 0)
    expected = outputs(project, name)
    remove_checkpoints(project)

    save, saved = Checkpoint.save, []

    def save_and_die(self, state):
        save(self, state)
        saved.append(state["step"])
        raise Interrupted

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(Interrupted):
        train(small, name, 0)
    monkeypatch.setattr(Checkpoint, "save", save)
    steps = []
    step = loop.training_step
    monkeypatch.setattr(loop, "training_step", lambda *a: steps.append(a[-1]) or step(*a))
    train(small, name, 0)
    assert steps[0] == saved[0] + 1  # it continued
    assert outputs(project, name) == expected


@pytest.mark.long
def test_a_signal_saves_the_step_at_hand_and_costs_nothing(small, project):
    """Also before the first regular checkpoint, and between two lines of the log."""
    rare = {"steps": 200, "log_every": 30, "evaluate_every": 1000, "checkpoint_every": 1000}
    params = changed(small, "gpt", **rare)
    prepare(params, "gpt")
    train(params, "gpt", 0)
    expected = outputs(project, "gpt")
    remove_checkpoints(project)
    with open("params.yaml", "w") as file:
        YAML().dump(params.content(), file)
    command = [sys.executable, "-m", "pipeline", "train", "--model", "gpt"]
    settings = {
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    trainer = subprocess.Popen(command, **settings)
    first = trainer.stdout.readline()
    assert first.startswith("step "), first
    trainer.send_signal(signal.SIGINT)
    output, _ = trainer.communicate()
    assert trainer.returncode == 128 + signal.SIGINT
    said = re.search(r"saved after step (\d+); the same command continues from there", output)
    saved = int(said[1])
    assert 30 <= saved < 200
    again = subprocess.run(command, **settings)
    assert f"continues after step {saved}\n" in again.stdout
    assert outputs(project, "gpt") == expected


def test_other_parameters_never_resume_a_checkpoint(small, monkeypatch):
    prepare(small, "gpt")
    save = Checkpoint.save

    def save_and_die(self, state):
        save(self, state)
        raise Interrupted

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(Interrupted):
        train(small, "gpt", 0)
    monkeypatch.setattr(Checkpoint, "save", save)
    steps = []
    step = loop.training_step
    monkeypatch.setattr(loop, "training_step", lambda *a: steps.append(a[-1]) or step(*a))
    train(changed(small, "gpt", lr=0.01), "gpt", 0)
    assert steps[0] == 1


def test_accumulated_gradients_equal_those_of_the_whole_batch(small, project):
    """Four micro-batches compared with one batch, without dropout."""
    content = small.content()
    content["gpt"]["model"] |= {"dropout": 0.0, "embedding_dropout": 0.0}
    small = validate(content)
    prepare(small, "gpt")
    histories = []
    for parts in (1, 4):
        train(changed(small, "gpt", accumulate=parts), "gpt", 0)
        histories.append(pd.read_csv(project / "models" / "gpt" / "seed-0" / "history.csv"))
    # Loss, gradient norm and embedding gradient of every step.
    pd.testing.assert_frame_equal(*histories, rtol=1e-3)


def test_curves_tell_the_tokens_or_images_seen(small, project):
    several = validate(small.content() | {"seeds": [0, 1]})
    # 8 steps of 8 sequences of 8; 2 epochs of 24 images in batches of 10, the last one of 4.
    expected = {"gpt": ("tokens", [64 * step for step in range(1, 9)])}
    expected["vit"] = ("images", [10, 20, 24, 34, 44, 48])
    for name, (unit, seen) in expected.items():
        prepare(small, name)
        train(changed(several, name, batch_size=8 if name == "gpt" else 10), name, 0)
        history = pd.read_csv(project / "models" / name / "seed-0" / "history.csv")
        assert history[unit].tolist() == seen
        evaluations = pd.read_csv(project / "models" / name / "seed-0" / "validation.csv")
        assert evaluations[unit].tolist() == [seen[step - 1] for step in evaluations["step"]]


def test_what_is_logged_is_what_autograd_gives(small, project):
    prepare(small, "gpt")
    train(changed(small, "gpt", steps=1), "gpt", 0)
    objective = build("gpt", small, 0, data_dir("gpt"), CPU)
    model = objective.build_model()
    loop.torch.manual_seed(loop.derive(0, "dropout", 1))
    loss, _ = objective.loss(model, objective.batch(0))
    loss.backward()
    row = pd.read_csv(project / "models" / "gpt" / "seed-0" / "history.csv").iloc[0]
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert row["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert row["delta_w"] == pytest.approx(model.embedding.weight.grad.abs().sum().item(), rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_mixed_precision_and_compilation_end_close_to_plain_training(small, project, name):
    prepare(small, name)
    curves = []
    for settings in ({}, {"precision": "bf16"}, {"compile": True}):
        train(changed(small, name, **settings), name, 0)
        curves.append(pd.read_csv(project / "models" / name / "seed-0" / "history.csv")["loss"])
    plain, mixed, compiled = curves
    assert mixed.tolist() != plain.tolist()
    assert mixed.tolist() == pytest.approx(plain.tolist(), rel=0.02)
    # A compiled model draws other random numbers for dropout.
    assert compiled.tolist() == pytest.approx(plain.tolist(), rel=0.02)


def test_a_diverged_training_stops_at_once_and_keeps_its_last_good_state(small, project):
    prepare(small, "gpt")
    settings = {"lr": 1e30, "clip_norm": 0.0, "optimizer": "adam", "checkpoint_every": 1}
    rare = {"steps": 1000, "log_every": 1000, "evaluate_every": 1000}
    params = changed(small, "gpt", **settings, **rare)
    with pytest.raises(UserError, match=r"diverged: loss .* at step 2 \(lr 1e\+30, gradient norm"):
        train(params, "gpt", 0)
    (state,) = (project / ".checkpoints").glob("*/state.pt")
    assert torch.load(state, weights_only=True)["step"] == 1
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list")
    assert run.info.status == "FAILED"


def test_an_error_of_torch_in_a_step_is_the_one_that_is_raised(small, project, monkeypatch):
    prepare(small, "gpt")

    def fails(*_):
        raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")

    monkeypatch.setattr("pipeline.tasks.causal_lm.CausalLM.loss", fails)
    with pytest.raises(torch.OutOfMemoryError, match="tried to allocate"):
        train(small, "gpt", 0)


def test_a_loss_is_watched_between_flushes():
    """A NaN loss is detected soon, even with rare logging."""
    history = History()
    metrics = {"loss": torch.tensor(1.0), "grad_norm": torch.tensor(2.0)}
    history.append({"step": 1, "lr": 0.1}, metrics)
    with pytest.raises(UserError, match="loss nan at step 2"):
        history.append({"step": 2, "lr": 0.1}, metrics | {"loss": torch.tensor(float("nan"))})


def test_the_plan_counts_vits_intervals_in_epochs(small):
    prepare(small, "vit")
    objective = build("vit", small, 0, data_dir("vit"), CPU)
    plan = loop.Plan.of(small.section("vit").train, objective)
    assert plan.steps == 2 * 3
    assert plan.due(3) == (True, True, False)  # epoch 1; checkpoints every third epoch
    assert plan.due(4) == (False, False, False)
    assert plan.due(6) == (True, True, True)


def test_piped_output_is_plain_lines(small, capsys):
    prepare(small, "gpt")
    capsys.readouterr()
    train(small, "gpt", 0)
    lines = capsys.readouterr().out.splitlines()
    steps = [line.split(" |")[0] for line in lines if " | loss " in line]
    assert steps == [f"step {n:>10}" for n in (2, 4, 6, 8)]
    assert [index for index, line in enumerate(lines) if "val loss" in line] == [2, 5]
    assert re.fullmatch(r"gpt: 8 steps in \d+:\d\d", lines[-1])


@pytest.mark.parametrize("name", MODELS)
def test_lines_fit_80_columns_and_tell_the_seed(small, capsys, monkeypatch, name):
    """With the longest possible steps, gradients and times."""
    prepare(small, name)
    capsys.readouterr()
    monkeypatch.setattr(loop.Clock, "per_step", lambda *_: 36_000.0)
    for seed in (10, 11):
        train(validate(small.content() | {"seeds": [10, 11]}), name, seed)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for seed in (10, 11):
        assert sum(line.startswith(f"seed {seed} | ") for line in lines) >= 4
    assert sum("Δw: sum of" in line for line in lines) == (name == "bert")  # printed once
    assert any(line.endswith(":00:00 to train") for line in lines)
