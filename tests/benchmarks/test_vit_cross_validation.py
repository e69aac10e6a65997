"""The cross-validation of ViT recipes: stratified folds, and never a test photograph."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from benchmarks import vit_cross_validation as study
from pipeline.data import images
from pipeline.errors import UserError
from pipeline.params import validate
from pipeline.yaml_file import flatten
from tests.conftest import with_profile

TINY = {
    "data": {"image_size": 16},
    "model": {"n_layer": 1, "n_head": 2, "d_model": 16, "d_mlp": 16, "patch_size": 8},
    "train": {"batch_size": 8},
}


@pytest.fixture
def photographs(project, monkeypatch) -> Path:
    """A mirror with 9 training photographs of each class, whose test photographs are missing."""
    folder, lines = project / "mirror" / "pizza_steak_sushi", []
    for shade, label in enumerate(("pizza", "steak", "sushi")):
        lines += [f"{'0' * 64}  test/{label}/{number}.jpg" for number in range(3)]
        for number in range(9):
            file = folder / "train" / label / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(number).integers(0, 60, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(noise + np.uint8(80 * shade)).save(file)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.append(f"{digest}  train/{label}/{number}.jpg")
    manifest = project / "manifest"
    manifest.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(images, "MANIFEST", manifest)
    monkeypatch.setenv("DATA_MIRROR", str(project / "mirror"))
    return folder


@pytest.fixture
def page(project, monkeypatch) -> Path:
    """An empty page, and two tiny recipes."""
    recipes = {
        "base": TINY,
        "mixed, with a stem": {"model": {"stem": "convolutional"}, "objective": {"mixup": 0.8}},
    }
    with (project / "recipes.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(recipes, file)
    monkeypatch.setattr(study, "RECIPES", project / "recipes.yaml")
    monkeypatch.setattr(study, "PAGE", project / "page.md")
    monkeypatch.setattr(study, "RESULTS", project / "page.csv")
    # Processes would not see these changes.
    monkeypatch.setattr(study, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    return study.PAGE


def test_folds_are_stratified():
    labels = torch.tensor([0] * 78 + [1] * 75 + [2] * 72)
    found = study.folds(labels, 0)
    counts = [[int((found[labels == k] == fold).sum()) for fold in range(3)] for k in range(3)]
    assert counts == [[26] * 3, [25] * 3, [24] * 3]
    assert torch.equal(found, study.folds(labels, 0))
    assert not torch.equal(found, study.folds(labels, 1))
    assert found[:6].tolist() != [0, 1, 2, 0, 1, 2]  # not in the order of the files


def test_every_training_photograph_is_held_out_once_and_no_test_photograph_is_opened(
    photographs, tmp_path
):
    with pytest.raises(UserError, match=r"test/pizza/0\.jpg is missing"):
        list(images.photographs("test"))
    held_out = []
    for fold in range(study.FOLDS):
        folder = tmp_path / str(fold)
        assert study.write_fold(0, fold, folder) == 27
        parts = [
            {path.relative_to(folder / split): path for path in (folder / split).rglob("*.jpg")}
            for split in ("train", "test")
        ]
        assert [len(part) for part in parts] == [18, 9]
        for name, path in (parts[0] | parts[1]).items():
            assert path.read_bytes() == (photographs / "train" / name).read_bytes()
        assert not parts[0].keys() & parts[1].keys()
        held_out += parts[1]
    everything = [path.relative_to(photographs / "train") for path in photographs.rglob("*.jpg")]
    assert sorted(held_out) == sorted(everything)


def test_the_table_has_means_over_folds_and_divisions_the_best_first(page):
    folds = [
        study.Fold(
            name, division, fold, low + division / 10 + fold * 0.03, loss, 0.5, 3.2, "abc", "cpu"
        )
        for name, low, loss in (("base", 0.5, 1.0), ("mixed, with a stem", 0.6, 0.8))
        for division in range(2)
        for fold in range(3)
    ]
    for fold in folds:
        study.add(fold)
    study.add(folds[0])  # the same fold again replaces the first
    trained = study.add(folds[-1])
    assert len(trained) == 12
    first, second = study.table(trained).splitlines()[2:]
    changes = "model.stem=convolutional, objective.mixup=0.8"
    shown = f"| mixed, with a stem | {changes} | 6 | 0.680 | 0.630, 0.730 | 0.800 | 0.500 | 3.2 |"
    assert first == f"{shown} abc | cpu |"
    assert second.startswith("| base |")
    assert "| 6 | 0.580 | 0.530, 0.630 | 1.000 |" in second


def test_the_page_has_the_trainings_and_their_cost(photographs, page, monkeypatch):
    made = []

    def spy(name, division, fold, epochs=None):
        made.append(found := real(name, division, fold, 2))
        return found

    real = study.evaluate
    monkeypatch.setattr(study, "evaluate", spy)
    study.main(["base"])
    study.main(["mixed, with a stem", "--divisions", "2"])
    kept = [study.Fold(**row) for row in pd.read_csv(study.RESULTS).to_dict("records")]
    assert sorted(map(str, kept)) == sorted(map(str, made))  # the first recipe's are kept
    assert [fold.division for fold in made] == [0] * 3 + [0] * 3 + [1] * 3
    # Nine images a fold.
    assert all((fold.accuracy * 9) % 1 < 1e-2 or (fold.accuracy * 9) % 1 > 0.99 for fold in made)
    assert len({fold.loss for fold in made}) == len(made)  # each its own seed and fold
    base, stem = made[0], made[-1]
    assert stem.tflop >= base.tflop
    assert "The 75 test photographs are not opened." in page.read_text()


def test_a_try_with_few_epochs_writes_no_page(photographs, page, capsys):
    study.main(["base", "--epochs", "2"])
    assert "Fold(recipe='base', division=0, fold=2" in capsys.readouterr().out
    assert not page.exists() and not study.RESULTS.exists()


def test_an_unknown_recipe_is_refused_with_the_known_ones(page):
    with pytest.raises(SystemExit, match="no recipe 'bass' in ") as refused:
        study.main(["bass"])
    assert all(name in str(refused.value) for name in ("base", "mixed, with a stem"))


def test_the_recipes_are_valid_and_the_record_is_one_of_them(raw, tmp_path):
    # They do not change the training.
    without = ("data.images", "train.log_every", "train.evaluate_every", "train.checkpoint_every")

    def values(params) -> dict:
        section = flatten(params.section("vit").model_dump())
        return {path: value for path, value in section.items() if path not in without}

    known = [values(study.load(recipe, tmp_path)) for recipe in study.recipes().values()]
    record = validate(with_profile(raw, "record"))
    assert values(record) in known
    assert record.section("vit").data.images == "pizza_steak_sushi"
