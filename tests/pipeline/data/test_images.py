"""Images: torchvision's order of files and classes, a stratified split, clear errors."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import images
from pipeline.errors import UserError
from pipeline.parameters.image_classification import ImageData

MIRROR = os.environ.get("DATA_MIRROR")


def data(source: str, size: int = 8, fraction: float = 0.2, seed: int = 0) -> ImageData:
    return ImageData(
        images=source, image_size=size, test_fraction=fraction, split_seed=seed,
        normalization="dataset",
    )  # fmt: skip


def picture(path: Path, shade: int = 100, mode: str = "RGB", size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    color = shade if len(mode) == 1 or ";" in mode else (shade,) * len(mode)
    Image.new(mode, (size, size), color).save(path)


def test_the_digits_split_evenly(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    tensors, meta = images.encode(data("mnist", 28))
    assert tensors["train_images"].shape == (4000, 1, 28, 28)
    assert meta["train_per_class"] == [400] * 10
    assert meta["test_per_class"] == [100] * 10
    other, _ = images.encode(data("mnist", 28, seed=1))
    assert not np.array_equal(tensors["test_images"], other["test_images"])


@pytest.mark.skipif(not MIRROR, reason="the photographs are on no package index; set DATA_MIRROR")
def test_the_references_photographs_keep_their_split_and_order(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    tensors, meta = images.encode(data("pizza_steak_sushi", 16))
    assert tensors["train_images"].shape == (225, 3, 16, 16)
    assert meta["test_per_class"] == [25, 19, 31]
    assert tensors["test_labels"].tolist() == sorted(tensors["test_labels"].tolist())


def test_another_photograph_in_the_mirror_is_refused(project, monkeypatch):
    for line in images.MANIFEST.read_text().splitlines():
        picture(project / "mirror" / "pizza_steak_sushi" / line.split(maxsplit=1)[1], 0)
    monkeypatch.setenv("DATA_MIRROR", str(project / "mirror"))
    with pytest.raises(UserError, match=r"\.jpg: wrong content"):
        images.encode(data("pizza_steak_sushi", 16))


def test_order_is_that_of_torchvisions_imagefolder(project):
    from torchvision.datasets import ImageFolder

    for split in ("train", "test"):
        for name, shade in (("b", 10), ("a", 200), ("C", 90)):
            for number in (10, 9, 2):
                picture(project / "own" / split / name / f"{number}.png", shade + number)
    tensors, meta = images.encode(data("own"))
    folder = ImageFolder(str(project / "own" / "test"))
    assert meta["classes"] == folder.classes
    assert tensors["test_labels"].tolist() == folder.targets
    theirs = np.stack([np.asarray(image).transpose(2, 0, 1) for image, _ in folder])
    assert np.array_equal(tensors["test_images"], theirs)


@pytest.mark.parametrize("source", ["mnist", "pizza_steak_sushi"])
def test_too_large_an_image_size_of_known_images_is_refused(project, source):
    with pytest.raises(UserError, match=r"images of 4096 x 4096 pixels take .* smaller image_size"):
        images.encode(data(source, 4096))


def test_mean_and_deviation_are_those_of_the_training_split(project):
    for number in range(5):
        picture(project / "own" / "dark" / f"{number}.png", 0)
        picture(project / "own" / "light" / f"{number}.png", 255)
    _, meta = images.encode(data("own"))
    assert meta["mean"] == [0.5] * 3
    assert meta["std"] == [0.5] * 3


def test_a_channel_that_never_varies_is_not_divided_by_zero(project):
    for name, shade in (("dark", 0), ("light", 255)):
        for number in range(5):
            path = project / "own" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (shade, 255 - shade, 100)).save(path)
    _, meta = images.encode(data("own"))
    assert meta["std"] == [0.5, 0.5, 1.0]


def test_mean_and_deviation_are_numpys():
    noise = np.random.default_rng(0).integers(0, 256, (7, 3, 9, 5)).astype(np.uint8)
    mean, deviation = images.NORMALIZATIONS["dataset"](noise)
    assert mean == pytest.approx((noise / 255).mean(axis=(0, 2, 3)), rel=1e-12)
    assert deviation == pytest.approx((noise / 255).std(axis=(0, 2, 3)), rel=1e-12)


def own_folder(project: Path) -> Path:
    for name in ("a", "b"):
        for number in range(5):
            picture(project / "own" / name / f"{number}.png")
    return project / "own"


def test_an_unreadable_image_is_named(project):
    (own_folder(project) / "a" / "9.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"own/a/9.png: not a readable image"):
        images.encode(data("own"))


def test_a_truncated_image_is_named(project):
    file = own_folder(project) / "a" / "3.png"
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"own/a/3.png: not a readable image"):
        images.encode(data("own"))


def test_one_class_is_not_enough(project):
    picture(project / "own" / "a" / "1.png")
    picture(project / "own" / "a" / "2.png")
    with pytest.raises(UserError, match="only one class"):
        images.encode(data("own", fraction=0.5))


def test_an_empty_split_is_refused(project):
    own_folder(project)
    with pytest.raises(UserError, match=r"the test split is empty.*test_fraction"):
        images.encode(data("own", fraction=0.01))


def test_an_empty_class_is_refused(project):
    (own_folder(project) / "c").mkdir()
    with pytest.raises(UserError, match="own/c: a class without images"):
        images.encode(data("own"))


def test_classes_that_differ_between_the_splits_are_refused(project):
    for path in ("train/a", "train/b", "test/a", "test/c"):
        picture(project / "own" / path / "1.png")
    told = r"not in both splits: 'b' \(1 for training, 0 for testing\), 'c' \(0 for training, 1"
    with pytest.raises(UserError, match=told):
        images.encode(data("own"))


def test_a_rare_class_that_a_split_leaves_empty_is_reported_with_its_numbers(project):
    own_folder(project)
    for number in range(2):
        picture(project / "own" / "rare" / f"{number}.png")
    with pytest.raises(UserError) as caught:
        images.encode(data("own"))
    assert str(caught.value) == (
        "own: classes that are not in both splits: 'rare' (2 for training, 0 for testing); with "
        "test_fraction 0.2 a class needs 3 images; add images, remove the class, or change "
        "test_fraction"
    )
    picture(project / "own" / "rare" / "2.png")
    _, meta = images.encode(data("own"))
    assert meta["test_per_class"] == [1, 1, 1]


def test_of_many_rare_classes_some_are_named(project):
    own_folder(project)
    for number in range(9):
        picture(project / "own" / f"rare{number}" / "1.png")
    with pytest.raises(UserError, match=r"'rare0' \(1 for .*'rare4' .* and 4 more; with test_frac"):
        images.encode(data("own"))


def test_test_images_that_are_copies_of_training_images_are_reported(project, capsys):
    for split in ("train", "val"):
        for name, shade in (("a", 1), ("b", 2)):
            picture(project / "own" / split / name / "same.png", shade)
            picture(project / "own" / split / name / "other.png", shade + 10 * len(split))
    images.encode(data("own"))
    said = " ".join(capsys.readouterr().out.split())
    assert "own: copies of training images in the test split: 2 of 4;" in said


def test_a_users_own_images_are_marked_as_of_no_target(project, monkeypatch):
    own_folder(project)
    _, meta = images.encode(data("own"))
    assert meta["own"] is True and meta["median_size"] == (8, 8)
    assert meta["suggested"].keys() == {
        "data.image_size",
        "model.patch_size",
        "objective.augmentation",
    }
    monkeypatch.chdir(Path(__file__).parents[3])
    assert "own" not in images.encode(data("mnist"))[1]


def test_a_name_that_is_neither_known_nor_a_folder_is_refused(project):
    with pytest.raises(UserError, match=r"no images 'mnits'.*did you mean 'mnist'"):
        images.encode(data("mnits"))


def test_an_archive_is_to_be_unpacked_first(project):
    (project / "own.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"own.zip: expected a folder, not a file"):
        images.encode(data("own.zip"))
