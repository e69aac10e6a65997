"""The cross-validation of ViT recipes: stratified folds, and never a test photograph."""

import hashlib
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from benchmarks import vit_cross_validation as study
from pipeline.data import images
from pipeline.errors import UserError

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
        "plain": TINY,
        "mixed, with a stem": TINY
        | {"model": TINY["model"] | {"stem": "convolutional"}, "objective": {"mixup": 0.8}},
    }
    with (project / "recipes.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(recipes, file)
    monkeypatch.setattr(study, "RECIPES", project / "recipes.yaml")
    monkeypatch.setattr(study, "PAGE", project / "page.md")
    return study.PAGE


def test_folds_are_stratified():
    labels = torch.tensor([0] * 78 + [1] * 75 + [2] * 72)
    found = study.folds(labels)
    counts = [[int((found[labels == k] == fold).sum()) for fold in range(3)] for k in range(3)]
    assert counts == [[26] * 3, [25] * 3, [24] * 3]
    assert torch.equal(found, study.folds(labels))
    assert found[:6].tolist() != [0, 1, 2, 0, 1, 2]  # not in the order of the files


def test_every_training_photograph_is_held_out_once_and_no_test_photograph_is_opened(
    photographs, tmp_path
):
    with pytest.raises(UserError, match=r"test/pizza/0\.jpg is missing"):
        list(images.photographs("test"))
    held_out = []
    for fold in range(study.FOLDS):
        folder = tmp_path / str(fold)
        assert study.write_fold(fold, folder) == 27
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


def test_the_page_has_the_folds_their_mean_and_the_cost(photographs, page, monkeypatch):
    made = {}

    def spy(recipe, fold, epochs=None):
        made.setdefault("stem" in recipe["model"], []).append(found := real(recipe, fold, 2))
        return found

    real = study.evaluate
    monkeypatch.setattr(study, "evaluate", spy)
    study.main(["plain"])
    study.main(["mixed, with a stem"])
    rows = study.read_rows(page.read_text())
    assert list(rows) == ["plain", "mixed, with a stem"]  # the first row is kept
    for (_, folds), row in zip(made.items(), rows.values(), strict=True):
        numbers = [float(number) for number in re.findall(r"\b\d+\.\d{3}\b", row)]
        accuracies, losses = numbers[:3], numbers[4:7]
        assert accuracies == [round(fold.accuracy, 3) for fold in folds]
        assert numbers[3] == pytest.approx(statistics.fmean(accuracies), abs=1e-3)
        assert losses == [round(fold.loss, 3) for fold in folds]
        assert numbers[7] == pytest.approx(statistics.fmean(losses), abs=1e-3)
        assert all(0 <= fold.accuracy <= 1 and fold.flops > 0 for fold in folds)
    plain, stem = (folds[0].flops for folds in made.values())
    assert stem > plain
    assert "The 75 test photographs are not opened." in page.read_text()


def test_a_try_with_few_epochs_writes_no_page(photographs, page, capsys):
    study.main(["plain", "--epochs", "2"])
    assert "| plain |" in capsys.readouterr().out
    assert not page.exists()


def test_an_unknown_recipe_is_refused_with_the_known_ones(page):
    with pytest.raises(SystemExit, match="no recipe 'plane' in ") as refused:
        study.main(["plane"])
    assert all(name in str(refused.value) for name in ("plain", "mixed, with a stem"))


def test_the_recipes_are_valid(tmp_path):
    recipes = YAML(typ="safe", pure=True).load(study.RECIPES.read_text())
    for recipe in recipes.values():
        params = study.load(recipe or {}, tmp_path)
        assert (params.profile, params.section("vit").data.images) == ("record", str(tmp_path))
