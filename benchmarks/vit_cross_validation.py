"""Cross-validation of ViT recipes on the reference's training photographs.

    ./run python -m benchmarks.vit_cross_validation [recipe ...]

Each recipe trains on all but one fold of the 225 training photographs and is evaluated on that
fold, for each fold; the folds are stratified by class. The test photographs are not used. Writes
benchmarks/vit_cross_validation.md, and keeps its rows of other recipes. A recipe takes some minutes
on two cores and needs the photographs (see docs/data.md).
"""

import json
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from pipeline import params as parameters
from pipeline import records
from pipeline.objectives import build
from pipeline.params import Params
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices
from pipeline.training.checkpoint import NoCheckpoint
from pipeline.training.loop import train
from pipeline.training.randomness import fixed_generator
from transformer import flops_per_step

FOLDS = 3
PAGE = Path(__file__).with_suffix(".md")
RECIPES = Path(__file__).with_suffix(".yaml")


def load(overrides: dict[str, Any]) -> Params:
    """The profile `record` with the changes of a recipe in the section `vit`."""
    yaml = YAML(typ="safe", pure=True)
    raw = yaml.load(Path("params.yaml").read_text())
    for layer in (yaml.load(Path("profile/record.yaml").read_text()), {"vit": overrides}):
        _lay(layer, raw)
    return parameters.validate(raw)


def _lay(over: dict[str, Any], under: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict):
            _lay(value, under.setdefault(key, {}))
        else:
            under[key] = value


def folds(labels: torch.Tensor) -> torch.Tensor:
    """The fold of each image, stratified by class: (N,)."""
    order = torch.randperm(len(labels), generator=fixed_generator("cross-validation"))
    found = torch.empty_like(labels)
    for label in labels.unique():
        members = order[labels[order] == label]
        found[members] = torch.arange(len(members)) % FOLDS
    return found


def write_fold(data: Path, fold: int, folder: Path) -> None:
    """Write prepared data whose test split is a fold of the training images of `data`."""
    tensors = load_file(data / "images.safetensors")
    images, labels = tensors["train_images"], tensors["train_labels"]
    held_out = folds(labels) == fold
    folder.mkdir()
    split = {
        "train_images": images[~held_out],
        "train_labels": labels[~held_out],
        "test_images": images[held_out],
        "test_labels": labels[held_out],
    }
    contiguous = {key: value.contiguous() for key, value in split.items()}
    save_file(contiguous, folder / "images.safetensors")
    (folder / "meta.json").write_text((data / "meta.json").read_text())


def judge(overrides: dict[str, Any]) -> list[str]:
    """A row of the table: accuracy and loss as means over the folds, and the cost of a training."""
    params = load(overrides)
    figures, losses, flops = [], [], 0.0
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "all"
        prepare(params, "vit", data)
        for fold in range(FOLDS):
            folder = Path(temporary) / str(fold)
            write_fold(data, fold, folder)
            objective = build("vit", params, fold, folder, devices.prepare(params))
            model = objective.build_model()
            batch = objective.training_batch(0)
            images = 225 * params.vit.train.epochs
            flops = flops_per_step(model, batch["images"]) / len(batch["images"]) * images
            history, _ = train(
                f"fold {fold}", model, objective, params.vit.train, NoCheckpoint(), lambda *_: None
            )
            model.eval()
            found = objective.evaluate(model)
            figures.append(found["accuracy"])
            losses.append((found["loss"], history.evaluations[-1]["closing_cross_entropy"]))
    spread = statistics.stdev(figures)
    test, closing = (statistics.fmean(column) for column in zip(*losses, strict=True))
    mean = statistics.fmean(figures)
    return [f"{mean:.3f}", f"{spread:.3f}", f"{test:.3f}", f"{closing:.3f}", f"{flops / 1e12:.1f}"]


def main(names: list[str]) -> None:
    """Evaluate the recipes of these names, or all, and write the page."""
    recipes = YAML(typ="safe", pure=True).load(RECIPES.read_text())
    if unknown := set(names) - set(recipes):
        sys.exit(f"no recipe {', '.join(unknown)} in {RECIPES}; known: {', '.join(recipes)}")
    known = PAGE.read_text() if PAGE.exists() else ""
    rows = {
        found[1]: found[0] for found in re.finditer(r"^\| ([\w ,.-]+) \|.*\|$", known, re.MULTILINE)
    }
    for name in names or recipes:
        row = judge(recipes[name] or {})
        changes = json.dumps(recipes[name] or {}).translate(str.maketrans("", "", '"{}'))
        cells = [name, changes or "nothing", *row]
        rows[name] = "| " + " | ".join(cells) + " |"
        print(rows[name], flush=True)
        _write(rows)


def _write(rows: dict[str, str]) -> None:
    machine = records.machine()
    header = ["recipe", "what differs from `record`", "accuracy", "deviation", "loss"]
    header += ["training loss", "TFLOP"]
    rows.pop("recipe", None)
    lines = [
        "# Recipes for ViT, by cross-validation inside the 225 training photographs",
        "",
        f"{FOLDS} folds, each with its own seed; accuracy per image and loss on the held-out fold; "
        "TFLOP for training on all 225. The 75 test photographs are not used. "
        "Written by `./run python -m benchmarks.vit_cross_validation` on "
        f"{machine['cores']} cores of an {machine['cpu']}.",
        "",
        "| " + " | ".join(header) + " |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        *rows.values(),
        "",
    ]
    PAGE.write_text("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
