"""Folders of images: layouts, other files, and unusual names."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.image_folders import read_folder
from pipeline.errors import UserError


@pytest.fixture
def own(project: Path) -> Path:
    """Two classes of three images."""
    for name in ("a", "b"):
        for number in range(3):
            picture(project / "own" / name / f"{number}.png", 10 * number)
    return project / "own"


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade,) * 3).save(path, "PNG")


def labels(folder: Path) -> list[str]:
    """The class of each image of a folder without splits."""
    return read_folder(folder, 8).train[1]


LITTER = (
    ".DS_Store", "._cover.png", ".git/0.png", ".ipynb_checkpoints/a-checkpoint.png",
    "__MACOSX/a/._0.png", "__MACOSX/a/0.png", "Thumbs.db", "desktop.ini", "@eaDir/0.png",
    "a/.DS_Store", "a/._0.png", "a/.thumbnails/0.png", "a/.ipynb_checkpoints/0-checkpoint.png",
    "a/__MACOSX/0.png", "a/Thumbs.db", "a/Desktop.ini", "a/@eaDir/0.png/SMALL.png",
    "a/inner/.ipynb_checkpoints/0.png",
)  # fmt: skip


def test_files_of_other_systems_are_no_images(own, capsys):
    for name in LITTER:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(b"no image")
    assert labels(own) == ["a"] * 3 + ["b"] * 3
    assert capsys.readouterr().out == ""


def test_files_that_are_no_images_by_their_names_are_reported(own, capsys):
    (own / "a" / "notes.txt").write_text("x")
    (own / "a" / "0.heic").write_text("x")
    (own / "b" / "elsewhere").symlink_to(own / "a")
    assert len(labels(own)) == 6
    said = " ".join(capsys.readouterr().out.split())
    assert f"note: {own / 'a'}: ignoring other files (2), such as '0.heic'" in said
    assert f"note: {own / 'b'}: ignoring other files (1), such as 'elsewhere'" in said


def test_folders_inside_of_a_class_are_in_torchvisions_order(own):
    from torchvision.datasets import ImageFolder

    names = ("z.png", "inner/y.png", "inner/deep/x.png", "inner-2/w.PNG", "Über/v.png", "数.png")
    for number, name in enumerate(names):
        picture(own / "a" / name, 100 + number)
    found, names = read_folder(own, 8).train
    folder = ImageFolder(str(own))
    assert [folder.classes[label] for label in folder.targets] == names
    assert all(
        np.array_equal(ours, np.asarray(theirs))
        for ours, (theirs, _) in zip(found, folder, strict=True)
    )


@pytest.mark.parametrize("name", ["数字", "crème brûlée", "$(touch x)", "a|b", "<script>", "5 %"])
def test_a_class_may_have_any_printable_name(own, name):
    picture(own / name / "é.png", 1)
    assert name in labels(own)


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b"\x1b[2Jclear"])
def test_a_class_of_unprintable_name_is_refused(own, name):
    """Its name could not be written to JSON files and the report."""
    folder = os.path.join(os.fsencode(own), name)
    os.mkdir(folder)
    (own / "a" / "0.png").rename(os.fsdecode(os.path.join(folder, b"0.png")))
    with pytest.raises(UserError, match="the name of a class must be printable") as caught:
        read_folder(own, 8)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["zero bytes", "link to nowhere", "no image"])
def test_a_file_that_is_no_image_is_named(own, kind):
    file = own / "b" / "9.jpg"
    if kind == "link to nowhere":
        file.symlink_to("nowhere")
    else:
        file.write_bytes(b"" if kind == "zero bytes" else b"<html>not found</html>")
    with pytest.raises(UserError, match=rf"^{file}: "):
        read_folder(own, 8)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user may read all of root's")
@pytest.mark.parametrize("closed", ["b", "b/1.png", "."])
def test_what_may_not_be_read_is_named(own, closed):
    for folder in own.parents[:-2]:  # pytest's folders allow only root
        folder.chmod(0o755)
    (own / closed).chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=rf"^{own / closed}: cannot be read: Permission"):
            read_folder(own, 8)
    finally:
        os.seteuid(0)


def test_more_pixels_than_fit_are_refused_before_any_is_decoded(own):
    (own / "a" / "0.png").write_bytes(b"no image")
    for number in range(200):
        (own / "b" / f"copy{number}.png").hardlink_to(own / "b" / "0.png")
    with pytest.raises(UserError, match=r"206 images of 4096 x 4096 pixels take 10,368,319,488 b"):
        read_folder(own, 4096)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("train", "val"),
        ("training", "validation"),
        ("Train", "Valid"),
        ("TRAIN", "dev"),
        ("training_set", "test_set"),
        ("train-images", "val images"),
        ("train", "eval"),
        ("train", "Evaluation_set"),
        ("train", "holdout"),
    ],
)
def test_splits_under_their_usual_names_are_understood(project, train, test):
    for split, count in ((train, 3), (test, 2)):
        for name in ("a", "b"):
            for number in range(count):
                picture(project / "own" / split / name / f"{number}.png", number)
    found = read_folder(project / "own", 8)
    assert found.train[1] == ["a"] * 3 + ["b"] * 3
    assert found.test[1] == ["a"] * 2 + ["b"] * 2


@pytest.mark.parametrize("validation", ["val", "eval"])
def test_of_three_splits_the_validation_is_left_out_and_said_to_be(project, capsys, validation):
    for number, split in enumerate(("train", validation, "test")):
        for name in ("a", "b"):
            picture(project / "own" / split / name / "1.png", 100 * number)
    found = read_folder(project / "own", 8)
    assert [image[0, 0, 0] for image in found.test[0]] == [200, 200]
    said = " ".join(capsys.readouterr().out.split())
    assert said == f"note: {project / 'own'}: using train/ and test/, ignoring {validation}/"


def test_what_lies_beside_the_splits_is_left_out_and_said_to_be(project, capsys):
    for split in ("train", "val"):
        for name in ("a", "b"):
            picture(project / "own" / split / name / "1.png", 1)
    (project / "own" / "annotations").mkdir()
    picture(project / "own" / "test" / "1.png", 1)  # without labels, as in competitions
    found = read_folder(project / "own", 8)
    assert found.test is not None and found.train[1] == ["a", "b"]
    said = " ".join(capsys.readouterr().out.split())
    assert "using train/ and val/, ignoring annotations/, test/" in said


def test_a_training_split_by_itself_is_split(project):
    for name in ("a", "b"):
        for number in range(5):
            picture(project / "own" / "train" / name / f"{number}.png", number)
    found = read_folder(project / "own", 8)
    assert found.test is None and found.train[1] == ["a"] * 5 + ["b"] * 5


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("train/1.png", "val/2.png"), "train/, val/: the name of a split, but without folders"),
        (("a/1.png", "b/1.png", "val/2.png"), "val/: the name of a split, but without folders"),
        (("train/1.png", "eval/2.png"), "eval/, train/: the name of a split, but without folders"),
        (("train/a/1.png", "b/1.png", "c/1.png"), "the name of a split, but not b/, c/: call the"),
        (("imgs/train/a/1.png", "imgs/test/a/1.png"), "only folder is imgs/, .*: use .*own/imgs$"),
        (("x/imgs/a/1.png", "x/imgs/b/1.png"), "only folder is x/, .*: use .*own/x/imgs$"),
        (("dataset/a/1.png", "dataset/b/1.png"), "only folder is dataset/, .*: use .*/dataset$"),
        (("test/a/1.png", "val/a/1.png"), "test/, val/ without a train/"),
        (("test/a/1.png", "test/b/1.png"), "test/ without a train/"),
        (("train/a/1.png", "Training/a/1.png", "val/a/1.png"), "are names of the same split"),
        (("a/train/1.png", "a/test/1.png", "b/train/1.png"), "splits inside a class; expected"),
    ],
)
def test_folders_that_may_be_misread_are_refused_by_name(project, files, message):
    for file in files:
        picture(project / "own" / file, 1)
    with pytest.raises(UserError, match=message) as caught:
        read_folder(project / "own", 8)
    assert str(caught.value).startswith(str(project / "own"))


def test_trains_may_be_a_class(own):
    for number in range(3):
        picture(own / "train" / f"{number}.png", number)
    assert sorted(set(labels(own))) == ["a", "b", "train"]


def test_images_beside_the_classes_are_reported(own, capsys):
    picture(own / "cover.png", 1)
    assert len(labels(own)) == 6
    said = " ".join(capsys.readouterr().out.split())
    assert f"{own}: ignoring images outside the class folders, such as 'cover.png'" in said


def test_a_class_has_one_name_in_either_unicode_form(project):
    """One split has the name as macOS writes it, the other as other systems do."""
    for split, name in (("train", "cafe\N{COMBINING ACUTE ACCENT}"), ("test", "café")):
        for each in (name, "b"):
            picture(project / "own" / split / each / "1.png", 1)
    found = read_folder(project / "own", 8)
    assert set(found.train[1]) == set(found.test[1]) == {"b", "café"}
    picture(project / "own" / "train" / "café" / "1.png", 1)
    with pytest.raises(UserError, match="two folders are named 'café', in two Unicode forms"):
        read_folder(project / "own", 8)


def test_sizes_and_colours_are_those_of_the_files(project):
    shades = {"a": ("L", 200), "b": ("RGB", (200, 10, 10))}
    for name, (mode, shade) in shades.items():
        (project / "own" / name).mkdir(parents=True)
        Image.new(mode, (30, 20), shade).save(project / "own" / name / "1.png")
    found = read_folder(project / "own", 8)
    assert found.sizes == [(30, 20)] * 2
    assert found.colour == 0.5
