"""What a classifier answers: its confusion matrix, and images with its answers."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

ROW = 8  # images of the grid beside each other
LONGEST = 12  # letters of the name of a class
LETTER = 0.07  # inches that a letter of a name takes, about
SIDE = 72  # pixels of a photograph in the grid, at most
NUMBERED = 15  # classes, at most, whose shares are written into the matrix
NAMED = 40  # classes, at most, whose names are written beside it
WRONG = "#b3261e"


def confusion(figure: Figure, predictions: pd.DataFrame, classes: list[str]) -> None:
    """Draw which share of each class's test images gets which answer, over all seeds.

    predictions: a row for each seed and image: seed, actual, predicted.
    """
    shares = confusion_shares(predictions, classes)
    count = len(classes)
    side = min(max(3.4, 0.42 * count), 6.6)
    figure.set_size_inches(side + 1.4, side + 0.9)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    right = np.eye(count, dtype=bool)
    # Mistakes get a scale of their own: beside the right answers they would all look alike.
    for part, colors in ((right, "Blues"), (~right, "Reds")):
        seen = np.where(part, shares, np.nan)
        axes.imshow(seen, cmap=colors, vmin=0, vmax=max(np.nanmax(seen, initial=0) * 1.5, 1e-9))
    if count <= NUMBERED:
        for row, column in zip(*np.nonzero(shares), strict=True):
            share = shares[row, column]
            dark = share > 0.8 * shares[right if row == column else ~right].max()
            text = f"{100 * share:.0f}" if share >= 0.01 else "<1"
            look = {"ha": "center", "va": "center", "fontsize": 7.5}
            axes.text(column, row, text, color="white" if dark else "black", **look)
    names = [_short(name) for name in classes] if count <= NAMED else []
    upright = all(len(name) * LETTER < side / count for name in names)
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    for axis, turn in ((axes.xaxis, {} if upright else slanted), (axes.yaxis, {})):
        # parse_math: a class may be called '$5'.
        axis.set_ticks(range(len(names)), names, fontsize=8, parse_math=False, **turn)
    axes.set(xlabel="answer", ylabel="what the image shows")
    seeds = predictions["seed"].nunique()
    over = f", {seeds} seeds" if seeds > 1 else ""
    title = f"ViT: answers in % of each class's test images{over}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")


def confusion_shares(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Shares of the answers to the images of each class: (actual, predicted), rows sum to 1, or
    to 0 for a class without test images."""
    counts = pd.crosstab(predictions["actual"], predictions["predicted"])
    counts = counts.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def samples(figure: Figure, shown: dict[str, list[Any]], pixels: np.ndarray) -> None:
    """Draw a grid of test images, with what the model takes them for; mistakes in red.

    shown: see `Classification.samples`. pixels: (N, C, H, W) of bytes, all test images.
    """
    rows = -(-len(shown["images"]) // ROW)
    figure.set_size_inches(8, 1.36 * rows + 0.1)
    # Not a layout that makes room for titles: long names of classes would take all of it.
    grid = {"hspace": 0.48, "left": 0.01, "right": 0.99, "bottom": 0.02, "top": 1 - 0.24 / rows}
    cells = figure.subplots(rows, ROW, gridspec_kw=grid, squeeze=False).flat
    for cell in cells:
        cell.axis("off")
    keys = ("images", "actual", "predicted", "probability")
    for cell, index, actual, predicted, probability in zip(
        figure.axes, *(shown[key] for key in keys), strict=False
    ):
        cell.imshow(_thumbnail(pixels[index]), cmap="gray", interpolation="nearest")
        right = actual == predicted
        text = f"{_short(predicted)}: {probability:.0%}"
        text += "" if right else f"\nis {_short(actual)}"
        color = "black" if right else WRONG
        cell.set_title(text, fontsize=7, color=color, loc="center", parse_math=False)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """(C, H, W) of bytes to (H, W) or (H, W, 3) of at most SIDE pixels a side."""
    picture = Image.fromarray(image.transpose(1, 2, 0).squeeze())
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _short(name: str) -> str:
    """The beginning and the end: long names often differ in a last number or word alone."""
    return name if len(name) <= LONGEST else name[: LONGEST - 6] + "…" + name[-5:]
