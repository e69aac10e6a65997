"""Folders of images as people have them: what else lies there, and names of every kind."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import images
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


def test_hidden_files_and_folders_are_left_out(own, capsys):
    for hidden in ("a/.DS_Store", "a/._0.png", "a/.thumbnails/0.png", ".DS_Store", ".git/0.png"):
        (own / hidden).parent.mkdir(exist_ok=True)
        (own / hidden).write_bytes(b"no image")
    assert images._walk(own, 8)[1] == ["a"] * 3 + ["b"] * 3
    assert capsys.readouterr().out == ""


def test_files_that_are_no_images_by_their_names_are_told(own, capsys):
    (own / "a" / "notes.txt").write_text("x")
    (own / "a" / "0.heic").write_text("x")
    (own / "b" / "elsewhere").symlink_to(own / "a")
    assert len(images._walk(own, 8)[1]) == 6
    said = capsys.readouterr().out
    assert f"note: {own / 'a'}: 2 files left out, such as '0.heic'" in said
    assert f"note: {own / 'b'}: 1 files left out, such as 'elsewhere'" in said


def test_folders_inside_of_a_class_in_torchvisions_order(own):
    from torchvision.datasets import ImageFolder

    names = ("z.png", "inner/y.png", "inner/deep/x.png", "inner-2/w.PNG", "Über/v.png", "数.png")
    for number, name in enumerate(names):
        picture(own / "a" / name, 100 + number)
    found, labels = images._walk(own, 8)
    folder = ImageFolder(str(own))
    assert [folder.classes[label] for label in folder.targets] == labels
    assert all(
        np.array_equal(ours, np.asarray(theirs))
        for ours, (theirs, _) in zip(found, folder, strict=True)
    )


@pytest.mark.parametrize("name", ["数字", "crème brûlée", "$(touch x)", "a|b", "<script>", "5 %"])
def test_a_class_may_have_any_printable_name(own, name):
    picture(own / name / "é.png", 1)
    assert name in images._walk(own, 8)[1]


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b"\x1b[2Jclear"])
def test_a_class_of_unprintable_name_is_refused(own, name):
    """It could not be written to the JSON and the report that name the classes."""
    folder = os.path.join(os.fsencode(own), name)
    os.mkdir(folder)
    (own / "a" / "0.png").rename(os.fsdecode(os.path.join(folder, b"0.png")))
    with pytest.raises(UserError, match="a class needs a name of printable characters") as caught:
        images._walk(own, 8)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["zero bytes", "link to nowhere", "pipe", "no image"])
def test_a_file_that_is_no_image_is_named(own, kind):
    file = own / "b" / "9.jpg"
    if kind == "link to nowhere":
        file.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(file)  # whoever opens it waits for a writer
    else:
        file.write_bytes(b"" if kind == "zero bytes" else b"<html>not found</html>")
    with pytest.raises(UserError, match=rf"^{file}: "):
        images._walk(own, 8)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user may read all of root's")
@pytest.mark.parametrize("closed", ["b", "b/1.png", "."])
def test_what_may_not_be_read_is_named(own, closed):
    for folder in own.parents[:-2]:  # pytest's folders are root's alone
        folder.chmod(0o755)
    (own / closed).chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=rf"^{own / closed}: cannot be read: Permission"):
            images._walk(own, 8)
    finally:
        os.seteuid(0)


def test_more_pixels_than_fit_are_refused_before_any_is_decoded(own):
    (own / "a" / "0.png").write_bytes(b"no image")
    for number in range(200):
        (own / "b" / f"copy{number}.png").hardlink_to(own / "b" / "0.png")
    with pytest.raises(UserError, match=r"206 images of 4096 x 4096 pixels take 10,368,319,488 b"):
        images._walk(own, 4096)


@pytest.mark.parametrize("count", [images._digits, images._photographs])
def test_nor_are_known_images_made_too_large(project, count):
    with pytest.raises(UserError, match=r"images of 4096 x 4096 pixels take .* smaller image_size"):
        count(4096)
