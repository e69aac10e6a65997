"""Cross-validation of ViT recipes on the reference's training photographs.

    ./run python -m benchmarks.vit_cross_validation [recipe ...] [--divisions N] [--processes N]

Each recipe of vit_cross_validation.yaml trains on all but one fold of the 225 training photographs
and is evaluated on that fold, for each fold; the folds are stratified by class, and the photographs
are divided into folds several times. The test photographs are not opened: only
`images.photographs("train")` is read here. Adds the trainings to vit_cross_validation.csv, and
writes vit_cross_validation.md from it. It needs the photographs (see docs/data.md). A training of
400 epochs takes a minute on a GPU and up to ten minutes on two cores.
"""

# ruff: noqa: E402  # portable numerics must be chosen before anything imports torch
from pipeline.training import numerics

numerics.choose("portable")

import argparse
import itertools
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ruamel.yaml import YAML

from pipeline import params as parameters
from pipeline.data import images
from pipeline.params import Params
from pipeline.running import records
from pipeline.running.watch import Watch
from pipeline.tasks.assembly import assemble
from pipeline.training import device as devices
from pipeline.training.loop import NoCheckpoint
from pipeline.training.randomness import fixed_generator
from pipeline.yaml_file import flatten, merge

FOLDS = 3
ROOT = Path(__file__).parents[1]
PAGE, RESULTS = (Path(__file__).with_suffix(suffix) for suffix in (".md", ".csv"))
RECIPES = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Fold:
    """A training without one fold, and how it was made.

    accuracy, loss: per image, on that fold. training_loss: of the last epoch. tflop: of training on
    all photographs.
    """

    recipe: str
    division: int
    fold: int
    accuracy: float
    loss: float
    training_loss: float
    tflop: float
    commit: str
    device: str


def recipes() -> dict[str, dict[str, Any]]:
    """The recipes by name, each as its changes of the first."""
    return {
        name: recipe or {}
        for name, recipe in YAML(typ="safe", pure=True).load(RECIPES.read_text()).items()
    }


def load(recipe: dict[str, Any], data: Path, epochs: int | None = None) -> Params:
    """The parameters of a recipe: params.yaml with the changes of the first recipe and of this one
    in the section `vit`.

    data: the folder of images to train on and evaluate. epochs: in place of the recipe's.
    """
    first = next(iter(recipes().values()))
    # One evaluation, at the end: more would not change the weights.
    once = {"log_every": 10**6, "evaluate_every": 10**6}
    fixed = {"data": {"images": str(data)}, "train": once | ({"epochs": epochs} if epochs else {})}
    raw = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    raw["vit"] = reduce(merge, (first, recipe, fixed), raw["vit"])
    return parameters.validate(raw)


def folds(labels: torch.Tensor, division: int) -> torch.Tensor:
    """The fold of each image, stratified by class: (N,)."""
    order = torch.randperm(len(labels), generator=fixed_generator(f"cross-validation/{division}"))
    found = torch.empty_like(labels)
    for label in labels.unique():
        members = order[labels[order] == label]
        found[members] = torch.arange(len(members)) % FOLDS
    return found


def write_fold(division: int, fold: int, folder: Path) -> int:
    """Write the training photographs as a folder of images, with one fold as its test split.

    Returns their number.
    """
    files = list(images.photographs("train"))
    classes = [name.split("/")[1] for name, _ in files]
    labels = torch.tensor([sorted(set(classes)).index(name) for name in classes])
    for (name, content), its in zip(files, folds(labels, division).tolist(), strict=True):
        split = "test" if its == fold else "train"
        path = folder / split / name.removeprefix("train/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(files)


def evaluate(name: str, division: int, fold: int, epochs: int | None = None) -> Fold:
    """Train a recipe on the other folds, with a seed of its own, and evaluate on this one."""
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        count = write_fold(division, fold, data / "images")
        params = load(recipes()[name], data / "images", epochs)
        images.prepare(params.section("vit")).write(data / "prepared")
        training = assemble(params, "vit", division * FOLDS + fold, data / "prepared")
    with Watch(f"{name}: division {division}, fold {fold}", training.task) as watch:
        trained = training.train(NoCheckpoint(), watch)
    found = training.task.evaluate(trained.model.eval())
    per_image = trained.step_flops / training.settings.batch_size
    flops = per_image * count * training.settings.epochs
    return Fold(
        recipe=name,
        division=division,
        fold=fold,
        accuracy=round(found["accuracy"], 4),
        loss=round(found["loss"], 4),
        training_loss=round(trained.history.evaluations[-1]["closing_cross_entropy"], 4),
        tflop=round(flops / 1e12, 1),
        commit=(records.git_commit() or "unknown")[:12],
        device=devices.name(training.device),
    )


def table(trained: pd.DataFrame) -> str:
    """A row of Markdown for each recipe: the best accuracy first.

    trained: a row for each training, with the columns of `Fold`.
    """
    lines = [
        "| recipe | what differs from the first recipe | trainings | accuracy | of each division "
        "| loss | training loss | TFLOP | commit | device |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | --- | --- |",
    ]
    means = trained.groupby("recipe")["accuracy"].mean().sort_values(ascending=False, kind="stable")
    for name in means.index:
        rows = trained[trained.recipe == name]
        changes = flatten(recipes()[name])
        divisions = rows.groupby("division")["accuracy"].mean()
        cells = [
            name,
            ", ".join(f"{path}={value}" for path, value in changes.items()) or "nothing",
            str(len(rows)),
            f"{rows.accuracy.mean():.3f}",
            ", ".join(f"{value:.3f}" for value in divisions),
            f"{rows.loss.mean():.3f}",
            f"{rows.training_loss.mean():.3f}",
            f"{rows.tflop.iloc[0]:.1f}",
            ", ".join(dict.fromkeys(rows.commit)),
            ", ".join(dict.fromkeys(rows.device)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(trained: pd.DataFrame) -> str:
    """The page with these trainings."""
    return f"""# Recipes for ViT, by cross-validation

Written by `./run python -m benchmarks.vit_cross_validation`.

The 225 training photographs of pizza_steak_sushi are divided into {FOLDS} folds, for some recipes
in several ways. Each fold is held out once, by a training on the other 150 photographs with a seed
of its own. Accuracy and loss are per image, on the fold that training does not see: a division has
225 of them, so its accuracy has a standard error of about 3 points. The training loss is that of
the last epoch, with dropout and augmentation, of mixed images against their mixed labels. TFLOP are
of training on all 225. Recipes with one division and with three are not equally certain, so their
order means little within the standard error. The 75 test photographs are not opened.

{table(trained)}
"""


def add(fold: Fold) -> pd.DataFrame:
    """Write a training to the table of results, in place of an earlier one of the same fold.

    Returns the table.
    """
    row = pd.DataFrame([asdict(fold)])
    found = pd.concat([pd.read_csv(RESULTS), row]) if RESULTS.exists() else row
    key = ["recipe", "division", "fold"]
    found = found.drop_duplicates(key, keep="last").sort_values(key)
    found.to_csv(RESULTS, index=False)
    return found


def main(arguments: list[str]) -> None:
    """Evaluate the recipes of these names, or all; write the page after each training."""
    parser = argparse.ArgumentParser(prog="vit_cross_validation")
    parser.add_argument("recipes", nargs="*", help="names; all by default")
    instead = "in place of a recipe's, to try the command; prints results, but writes none"
    parser.add_argument("--epochs", type=int, help=instead)
    parser.add_argument("--divisions", type=int, default=1, help="ways to divide; 1 by default")
    parser.add_argument("--processes", type=int, default=1, help="trainings at the same time")
    given = parser.parse_args(arguments)
    known = recipes()
    if unknown := [name for name in given.recipes if name not in known]:
        sys.exit(f"no recipe {', '.join(unknown)!r} in {RECIPES}; known: {'; '.join(known)}")
    names = given.recipes or known
    parts = itertools.product(names, range(given.divisions), range(FOLDS))
    # CUDA does not work in processes that are forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.processes, mp_context=context) as pool:
        running = [pool.submit(evaluate, *part, given.epochs) for part in parts]
        for future in as_completed(running):
            fold = future.result()
            print(fold, flush=True)
            if not given.epochs:
                PAGE.write_text(page(add(fold)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
