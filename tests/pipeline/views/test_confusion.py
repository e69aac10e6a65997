"""Pictures of a classifier: the confusion matrix, and a grid of images."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pipeline.views import confusion as answers
from tests.pipeline.reporting.handmade import result

LONG = tuple(f"a class with a long name, number {index}" for index in range(7))


@pytest.fixture
def figure():
    yield plt.figure()
    plt.close("all")


def rows(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["actual", "predicted"]).assign(seed="0")


def test_shares_are_of_the_images_of_a_class():
    shown = rows(("a", "a"), ("a", "b"), ("a", "a"), ("a", "a"), ("b", "a"))
    expected = [[0.75, 0.25, 0], [1, 0, 0], [0, 0, 0]]
    assert answers.confusion_shares(shown, ["a", "b", "c"]) == pytest.approx(np.array(expected))


def test_each_share_is_written_into_its_cell(figure):
    shown = rows(*[("a", "a")] * 3, ("a", "b"), *[("b", "b")] * 200, ("b", "a"))
    answers.confusion(figure, shown, ["a", "b"], "ViT")
    (axes,) = figure.axes
    # Position is (predicted class, true class).
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "75", (1, 0): "25", (0, 1): "<1", (1, 1): "100"}


def test_the_names_of_long_classes_do_not_overlap(figure):
    made = result("vit", classes=LONG)
    answers.confusion(figure, made.predictions, list(LONG), "ViT")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(names)) == len(LONG)  # still different after shortening
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_class_may_be_called_as_a_formula(figure):
    answers.confusion(figure, rows(("$5", "$\\x"), ("$\\x", "$5")), ["$5", "$\\x"], "ViT")
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["$5", "$\\x"]


def test_mistakes_are_red_and_say_what_is_right(figure):
    shown = {"images": [4, 7], "actual": ["cat", "dog"], "predicted": ["dog", "dog"]}
    pixels = np.zeros((8, 3, 6, 6), dtype=np.uint8)
    answers.samples(figure, shown | {"probability": [0.9, 0.634]}, pixels)
    titles = [cell.title for cell in figure.axes if cell.get_title()]
    assert [title.get_text() for title in titles] == ["dog: 90%\nis cat", "dog: 63%"]
    assert [title.get_color() for title in titles] == [answers.WRONG, "black"]


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 200, 200)])
def test_images_keep_their_brightness_and_stay_small(figure, shape):
    pixels = np.full((1, *shape), 200, dtype=np.uint8)
    shown = {"images": [0], "actual": ["a"], "predicted": ["a"], "probability": [1.0]}
    answers.samples(figure, shown, pixels)
    image = figure.axes[0].images[0]
    assert image.get_array().max() == image.get_array().min() == 200
    assert max(image.get_array().shape[:2]) <= 72
    assert image.get_cmap().name == "gray"


def test_neighbouring_titles_of_long_names_do_not_overlap(figure):
    made = result("vit", classes=LONG)
    answers.samples(figure, made.samples, np.zeros((30, 1, 9, 9), dtype=np.uint8))
    figure.draw_without_rendering()
    boxes = [cell.title.get_window_extent() for cell in figure.axes if cell.get_title()]
    assert len(boxes) == 16
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
