"""Suggests parameters for a user's own images, because the defaults are made for digits."""

import statistics
from typing import Any

from pipeline.data.image_folders import Folder
from pipeline.parameters.image_classification import ImageClassificationSection

COLOUR = 0.05  # a larger share of coloured images means photographs
SMALL = 48  # pixels: smaller images keep their size, with patches of 4
LARGE, PATCH = 64, 8  # pixels: size and patches of larger images, as in the profile `record`


def suggest(folder: Folder) -> dict[str, Any]:
    """Values for `-S`, by their paths in a model's section, from the median size of the images and
    their colours."""
    width, height = median_size(folder)
    short = min(width, height)
    size, patch = (max(8, 4 * round(short / 4)), 4) if short < SMALL else (LARGE, PATCH)
    return {
        "data.image_size": size,
        "model.patch_size": patch,
        "objective.augmentation": "photos" if folder.colour > COLOUR else "digits",
    }


def median_size(folder: Folder) -> tuple[int, int]:
    """Median (width, height) in pixels."""
    widths, heights = zip(*folder.sizes, strict=True)
    return round(statistics.median(widths)), round(statistics.median(heights))


def advice(meta: dict[str, Any], section: ImageClassificationSection) -> str | None:
    """A sentence on unsuitable parameters for a user's own images, with suggestions; or None.

    meta: the description of the images.
    """
    if not meta.get("own"):
        return None
    suggested, (width, height) = meta["suggested"], meta["median_size"]
    size, augmentation = section.data.image_size, section.objective.augmentation
    wrong, keys = [], []
    fewer = size < 0.75 * suggested["data.image_size"]
    if fewer or size > 1.5 * max(width, height):
        effect = "loses detail" if fewer else "adds no detail"
        wrong.append(f"image_size {size} {effect}")
        keys += ["data.image_size", "model.patch_size"]
    if augmentation not in ("none", suggested["objective.augmentation"]):
        kind = "grey" if augmentation == "photos" else "colour"
        wrong.append(f"augmentation '{augmentation}' does not suit {kind} images")
        keys.append("objective.augmentation")
    if not wrong:
        return None
    flags = " ".join(f"-S {section.name}.{key}={suggested[key]}" for key in keys)
    return (
        f"the median image has {width} x {height} pixels; {', and '.join(wrong)}; "
        f"try `dvc exp run {flags}`"
    )
