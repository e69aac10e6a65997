"""Collects trained models: curves as CSV; metrics, cost and machine as JSON."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference_run import FOLDER
from pipeline import deciding
from pipeline.curves import EVALUATIONS, STEPS, write_csv
from pipeline.params import Params
from pipeline.paths import (
    WEIGHTS,
    data_dir,
    model_dir,
    prediction_dir,
    read_json,
    require,
    write_json,
)
from pipeline.running import records
from pipeline.tasks.assembly import assemble
from pipeline.tasks.reference import mean_of_batch_means
from pipeline.tasks.text import Tokens
from pipeline.training import models
from pipeline.training.task import Task
from transformer import Transformer
from transformer.patterns import AttentionPattern, Bidirectional, Causal

LOGGED_EVERY = {"bert": 10, "gpt": 1}  # steps between lines of the reference's log
BATCHES, BATCH = 10, 32  # of the reference's evaluation of GPT
MASKS = {"causal": Causal, "none": Bidirectional}


def collect(params: Params, name: str, commit: str | None) -> None:
    """Collect the model `name`, trained and evaluated with all seeds of the parameters.

    commit: of the code, for a machine without git.

    Raises:
        UserError: the model is not trained or not evaluated.
    """
    trainings, curve, evaluations = [], [], []
    for seed in params.seeds:
        folder = require(model_dir(name, seed), f"dvc repro train@{name}-{seed}")
        predicted = require(prediction_dir(name, seed), f"dvc repro evaluate@{name}-{seed}")
        training = assemble(params, name, seed, data_dir(name))
        model, _ = models.load(folder)
        record = records.read("train", f"{name}-{seed}", folder / WEIGHTS) or {}
        steps, evaluated = (_read(folder / file) for file in (STEPS, EVALUATIONS))
        curve += [{"seed": seed, **row} for row in CURVES[name](training.task, steps, evaluated)]
        if name != "vit":  # whose curve has the evaluations
            columns = ("step", "train_loss", *(["loss"] if name == "gpt" else []))
            evaluations += [
                {"seed": seed, **{key: row[key] for key in columns}} for row in evaluated
            ]
        trainings.append(
            {
                "seed": seed,
                "metrics": read_json(predicted / "metrics.json"),
                "summary": read_json(folder / "summary.json"),
                **{key: record.get(key) for key in ("device", "seconds", "finished")},
                "git_commit": record.get("git_commit") or commit,
                "machine": record.get("machine"),
                "versions": record.get("versions"),
                **FURTHER[name](training.task, model.to(training.device)),
            }
        )
    parameters = deciding.parameters(params, name, params.seeds[0])
    del parameters["seeds"]
    write_csv(curve, FOLDER / f"{name}.csv")
    if evaluations:
        write_csv(evaluations, FOLDER / f"{name}-evaluations.csv")
    write_json({"parameters": parameters, "trainings": trainings}, FOLDER / f"{name}.json")


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _bert_curve(task: Task, steps: list, evaluated: list) -> list[dict[str, Any]]:
    return _logged(steps, LOGGED_EVERY["bert"], ("loss", "delta_w"))


def _gpt_curve(task: Task, steps: list, evaluated: list) -> list[dict[str, Any]]:
    return _logged(steps, LOGGED_EVERY["gpt"], ("loss",))


def _logged(steps: list, every: int, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The iterations that the reference logs; it counts from 0, and we count steps from 1."""
    return [
        {"iteration": int(row["step"]) - 1, **{key: row[key] for key in columns}}
        for row in steps
        if (int(row["step"]) - 1) % every == 0
    ]


def _vit_curve(task: Any, steps: list, evaluated: list) -> list[dict[str, Any]]:
    """One row for each epoch, with the reference's columns."""
    return [
        {
            "epoch": int(row["step"]) // task.steps_per_epoch,
            "train_loss": row["closing_cross_entropy"],
            "train_accuracy": row["closing_accuracy"],
            "test_loss": row["batch_loss"],
            "test_accuracy": row["batch_accuracy"],
        }
        for row in evaluated
    ]


def without_and_with_mask(task: Any, model: Transformer) -> dict[str, Any]:
    """GPT's training and validation loss, dropout off, with the causal mask and without a mask: on
    ten random batches, as in the reference's code, and on the whole texts.

    Without the mask a token sees the next one, which it should predict, but the model has never
    been trained to use it.
    """
    found = []
    for mask, pattern in MASKS.items():
        with attention(model, pattern()):
            batches = {
                key: _on_random_batches(task, model, text)
                for key, text in _texts(task.tokens).items()
            }
            whole = task.validate(model)
        found.append({"mask": mask, "text": "ten batches", **batches})
        whole = {key: whole[key] for key in batches}
        found.append({"mask": mask, "text": "whole", **whole})
    return {"masks": found}


@contextmanager
def attention(model: Transformer, pattern: AttentionPattern) -> Iterator[None]:
    """Another attention pattern within the body, in evaluation mode."""
    own, training = model.pattern, model.training
    model.pattern = pattern
    model.eval()
    try:
        yield
    finally:
        model.pattern = own
        model.train(training)


def _texts(tokens: Tokens) -> dict[str, Tensor]:
    return {"train_loss": tokens.train, "loss": tokens.validation}


@torch.inference_mode()
def _on_random_batches(task: Any, model: Transformer, text: Tensor) -> float:
    """Mean loss in nats over the same random batches for each mask."""
    length = task.tokens.length + 1
    random = task.generator("batches of the reference's evaluation")
    starts = torch.randint(len(text) - length + 1, (BATCHES, BATCH, 1), generator=random)
    windows = text[(starts + torch.arange(length)).to(text.device)]
    losses = [
        F.cross_entropy(model(batch[:, :-1]).float().flatten(0, 1), batch[:, 1:].flatten())
        for batch in windows
    ]
    return torch.stack(losses).mean().item()


def constant_predictions(task: Any, model: Transformer) -> dict[str, Any]:
    """Whether ViT's predictions depend on the image.

    classes: the predicted classes of the test images, with their numbers.
    always: the accuracy of predicting always one class, as the reference's mean over batches.
    probability_range: the largest difference of a class's probability between two test images.
    """
    logits, names = task.logits(model, "test"), task.meta["classes"]
    counts = logits.argmax(1).bincount(minlength=len(names)).tolist()
    chances, labels = logits.softmax(1), task.images["test_labels"]
    spread = (chances.max(0).values - chances.min(0).values).max().item()
    always = [mean_of_batch_means((labels == index).float()).item() for index in range(len(names))]
    return {
        "always": dict(zip(names, always, strict=True)),
        "classes": {name: count for name, count in zip(names, counts, strict=True) if count},
        "probability_range": spread,
    }


CURVES = {"bert": _bert_curve, "gpt": _gpt_curve, "vit": _vit_curve}
FURTHER = {
    "bert": lambda task, model: {},
    "gpt": without_and_with_mask,
    "vit": constant_predictions,
}
