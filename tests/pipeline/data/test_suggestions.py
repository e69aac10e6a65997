"""Advice for images that the default parameters do not suit."""

import json

import numpy as np
import pytest

from pipeline.data.image_folders import Folder
from pipeline.data.suggestions import advice, median_size, suggest
from pipeline.params import validate

WEB = ((500, 375), 1.0)  # photographs
DIGITS = ((28, 28), 0.0)
ICONS = ((32, 32), 1.0)
SCANS = ((2000, 3000), 0.0)


def folder(size: tuple[int, int], colour: float) -> Folder:
    nothing = ([np.zeros((8, 8, 3), np.uint8)], ["a"])
    return Folder(nothing, None, [size, size, (10, 10)], colour)


def said(kind: tuple, raw: dict, **values) -> str | None:
    """The advice for a folder, with changed values in the sections of ViT."""
    for section in ("data", "objective", "model"):
        for key in raw["vit"][section].keys() & values.keys():
            raw["vit"][section][key] = values[key]
    described = folder(*kind)
    meta = {"own": True, "median_size": median_size(described), "suggested": suggest(described)}
    return advice(json.loads(json.dumps(meta)), validate(raw).section("vit"))


def test_photographs_with_the_defaults_of_digits_get_advice(raw):
    assert said(WEB, raw) == (
        "the median image has 500 x 375 pixels; image_size 28 loses detail, and "
        "augmentation 'digits' does not suit colour images; try `dvc exp run -S "
        "vit.data.image_size=64 -S vit.model.patch_size=8 -S vit.objective.augmentation=photos`"
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (DIGITS, {}),
        (WEB, {"image_size": 64, "patch_size": 8, "augmentation": "photos"}),
        (WEB, {"image_size": 224, "patch_size": 16, "augmentation": "none"}),
        (ICONS, {"image_size": 32, "patch_size": 4, "augmentation": "photos"}),
        (SCANS, {"image_size": 96, "patch_size": 8}),
    ],
)
def test_suitable_values_are_not_mentioned(raw, kind, values):
    assert said(kind, raw, **values) is None


def test_suggested_values_are_valid_and_give_no_further_advice(raw):
    for kind in (WEB, DIGITS, ICONS, SCANS, ((9, 40), 0.5), ((1, 1), 0.0), ((47, 47), 0.0)):
        values = {key.split(".")[-1]: value for key, value in suggest(folder(*kind)).items()}
        if kind != ((1, 1), 0.0):  # smaller than any image_size
            assert said(kind, raw, **values) is None


def test_small_images_are_not_enlarged(raw):
    text = said(ICONS, raw, image_size=224, patch_size=16, augmentation="photos")
    assert "image_size 224 adds no detail; try" in text
    assert text.endswith("-S vit.data.image_size=32 -S vit.model.patch_size=4`")


def test_photo_changes_are_not_for_grey_images(raw):
    text = said(DIGITS, raw, augmentation="photos")
    assert "augmentation 'photos' does not suit grey images" in text


def test_known_images_get_no_advice(raw):
    assert advice({"source": "mnist"}, validate(raw).section("vit")) is None
