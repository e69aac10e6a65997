"""Cross-validation of ViT recipes on the reference's training photographs.

    ./run python -m benchmarks.vit_cross_validation [recipe ...]

Each recipe of vit_cross_validation.yaml trains on all but one fold of the 225 training photographs
and is evaluated on that fold, for each fold; the folds are stratified by class. The test
photographs are not opened: only `images.photographs("train")` is read here. Writes
vit_cross_validation.md, and keeps its rows of other recipes. A recipe takes some minutes on two
cores and needs the photographs (see docs/data.md).
"""

import argparse
import re
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from pipeline import params as parameters
from pipeline.data import images
from pipeline.params import Params
from pipeline.running import records
from pipeline.running.watch import Watch
from pipeline.tasks.assembly import assemble
from pipeline.training.loop import NoCheckpoint
from pipeline.training.randomness import fixed_generator
from pipeline.yaml_file import flatten

FOLDS = 3
ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_suffix(".md")
RECIPES = Path(__file__).with_suffix(".yaml")
HEADER = (
    "recipe", "what differs from `record`", "accuracy of each fold", "mean accuracy",
    "loss of each fold", "mean loss", "training loss", "TFLOP", "commit",
)  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """A training without one fold: accuracy and loss per image on that fold, the training loss of
    the last epoch, and the FLOPs of training on all photographs."""

    accuracy: float
    loss: float
    training_loss: float
    flops: float


def load(recipe: dict[str, Any], data: Path, epochs: int | None = None) -> Params:
    """The profile `record` with the changes of a recipe in the section `vit`.

    data: the folder of images to train on and evaluate. epochs: in place of the recipe's.
    """
    yaml = YAML(typ="safe", pure=True)
    # One evaluation, at the end: more would not change the weights.
    once = {"log_every": 10**6, "evaluate_every": 10**6}
    fixed = {"data": {"images": str(data)}, "train": once | ({"epochs": epochs} if epochs else {})}
    raw = yaml.load((ROOT / "params.yaml").read_text())
    record = yaml.load((ROOT / "profile" / "record.yaml").read_text())
    for layer in (record, {"vit": recipe}, {"vit": fixed}):
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


def write_fold(fold: int, folder: Path) -> int:
    """Write the training photographs as a folder of images, with one fold as its test split.

    Returns their number.
    """
    files = list(images.photographs("train"))
    classes = [name.split("/")[1] for name, _ in files]
    labels = torch.tensor([sorted(set(classes)).index(name) for name in classes])
    for (name, content), its in zip(files, folds(labels).tolist(), strict=True):
        split = "test" if its == fold else "train"
        path = folder / split / name.removeprefix("train/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(files)


def evaluate(recipe: dict[str, Any], fold: int, epochs: int | None = None) -> Fold:
    """Train on the other folds, with the fold's number as the seed, and evaluate on this one."""
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        count = write_fold(fold, data / "images")
        params = load(recipe, data / "images", epochs)
        images.prepare(params.section("vit")).write(data / "prepared")
        training = assemble(params, "vit", fold, data / "prepared")
    with Watch(f"fold {fold}", training.task) as watch:
        trained = training.train(NoCheckpoint(), watch)
    found = training.task.evaluate(trained.model.eval())
    closing = trained.history.evaluations[-1]["closing_cross_entropy"]
    per_image = trained.step_flops / training.settings.batch_size
    flops = per_image * count * training.settings.epochs
    return Fold(found["accuracy"], found["loss"], closing, flops)


def row(name: str, recipe: dict[str, Any], trained: list[Fold]) -> str:
    """A row of the table."""
    changes = ", ".join(f"{path}={value}" for path, value in flatten(recipe).items())
    cells = [name, changes or "nothing"]
    for key in ("accuracy", "loss"):
        values = [getattr(fold, key) for fold in trained]
        cells += [", ".join(f"{value:.3f}" for value in values), f"{statistics.fmean(values):.3f}"]
    cells.append(f"{statistics.fmean(fold.training_loss for fold in trained):.3f}")
    cells.append(f"{trained[0].flops / 1e12:.1f}")
    cells.append((records.git_commit() or "unknown")[:12])
    return f"| {' | '.join(cells)} |"


def page(rows: dict[str, str]) -> str:
    """The page with these rows."""
    machine = records.machine()
    table = "\n".join(rows.values())
    return f"""# Recipes for ViT, by cross-validation

Written by `./run python -m benchmarks.vit_cross_validation`, the last time on {machine["cores"]}
cores ({machine["cpu"]}), with torch {torch.__version__}.

The 225 training photographs of pizza_steak_sushi in {FOLDS} folds, each trained with its own seed.
Accuracy and loss are per image, on the fold that training does not see. The training loss is that
of the last epoch, with dropout and augmentation, of mixed images against their mixed labels. TFLOP
are of training on all 225. The 75 test photographs are not opened.

| {" | ".join(HEADER)} |
| --- | --- | --- | ---: | --- | ---: | ---: | ---: | --- |
{table}
"""


def read_rows(text: str) -> dict[str, str]:
    """The rows of a page by the name of the recipe."""
    rows = {found[1]: found[0] for found in re.finditer(r"^\| ([^|]+) \|.*\|$", text, re.MULTILINE)}
    return {name: line for name, line in rows.items() if name not in ("---", HEADER[0])}


def main(arguments: list[str]) -> None:
    """Evaluate the recipes of these names, or all; write the page after each."""
    parser = argparse.ArgumentParser(prog="vit_cross_validation")
    parser.add_argument("recipes", nargs="*", help="names; all by default")
    instead = "in place of a recipe's, to try the command; prints the rows, but writes no page"
    parser.add_argument("--epochs", type=int, help=instead)
    given = parser.parse_args(arguments)
    recipes = YAML(typ="safe", pure=True).load(RECIPES.read_text())
    if unknown := [name for name in given.recipes if name not in recipes]:
        sys.exit(f"no recipe {', '.join(unknown)!r} in {RECIPES}; known: {'; '.join(recipes)}")
    rows = read_rows(PAGE.read_text()) if PAGE.exists() else {}
    for name in given.recipes or recipes:
        recipe = recipes[name] or {}
        trained = [evaluate(recipe, fold, given.epochs) for fold in range(FOLDS)]
        rows[name] = row(name, recipe, trained)
        print(rows[name], flush=True)
        if not given.epochs:
            PAGE.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
