"""The picture files: sharp, small, and equal for equal results."""

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from pipeline.reporting import pictures, targets
from tests.conftest import ROOT, WITH_TARGETS
from tests.pipeline.reporting.handmade import result

LARGEST = 160_000  # bytes, for images of noise; real ones take less


@pytest.fixture
def drawn(project, monkeypatch):
    """Draw a result with test images of noise, which do not compress."""
    (project / "reports").symlink_to(ROOT / "reports")
    reached = targets.load()
    noise = np.random.default_rng(0).integers(0, 256, (30, 3, 64, 64), dtype=np.uint8)
    (project / "data" / "vit").mkdir(parents=True)
    save_file({"test_images": noise}, project / "data" / "vit" / "images.safetensors")

    def draw(name, seeds=3, folder="pictures"):
        classes = tuple(f"a class with a long name, number {index}" for index in range(7))
        made = result(name, seeds, classes=classes)
        return pictures.draw(made, reached[name], project / folder)

    return draw


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_pictures_are_sharp_and_small(drawn, name):
    for file in drawn(name):
        with Image.open(file) as picture:
            assert picture.width >= 800
            if "confusion" not in file.name:
                assert picture.width >= 1600  # twice the width of a page
        assert file.stat().st_size < LARGEST, file.name


def test_a_classifier_gets_its_confusion_matrix_and_answers(drawn):
    names = [file.name for file in drawn("vit")]
    assert names == ["vit.png", "vit-confusion.png", "vit-predictions.png"]
    assert [file.name for file in drawn("bert")] == ["bert.png"]


def test_the_same_results_give_the_same_bytes(drawn):
    first, second = (drawn("vit", folder=folder) for folder in ("first", "second"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
