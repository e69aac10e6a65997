"""Pictures of a classifier: its confusion matrix, and images with its predictions."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

ROW = 8  # images in a row of the grid
LONGEST = 12  # most letters of a class name
LETTER = 0.07  # approximate width of a letter, in inches
SIDE = 72  # most pixels of a photograph in the grid
NUMBERED = 15  # most classes for a matrix with numbers
NAMED = 40  # most classes for a matrix with names
WRONG = "#b3261e"


def confusion(figure: Figure, predictions: pd.DataFrame, classes: list[str], model: str) -> None:
    """Draw the confusion matrix over all seeds, in % of each true class.

    predictions: one row per seed and image: seed, actual, predicted. model: its title.
    """
    shares = confusion_shares(predictions, classes)
    count = len(classes)
    side = min(max(3.4, 0.42 * count), 6.6)
    figure.set_size_inches(side + 1.4, side + 0.9)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    right = np.eye(count, dtype=bool)
    # Mistakes have their own colour scale; on a common one they would all look alike.
    for part, colors in ((right, "Blues"), (~right, "Reds")):
        seen = np.where(part, shares, np.nan)
        axes.imshow(seen, cmap=colors, vmin=0, vmax=max(np.nanmax(seen, initial=0) * 1.5, 1e-9))
    if count <= NUMBERED:
        for row, column in zip(*np.nonzero(shares), strict=True):
            share = shares[row, column]
            dark = share > 0.8 * shares[right if row == column else ~right].max()
            text = f"{100 * share:.0f}" if share >= 0.01 else "<1"
            look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5}
            axes.text(column, row, text, color="white" if dark else "black", **look)
    names = [_short(name) for name in classes] if count <= NAMED else []
    upright = all(len(name) * LETTER < side / count for name in names)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    for axis, turn in ((axes.xaxis, {} if upright else slanted), (axes.yaxis, {})):
        # parse_math: the name of a class may be '$5'.
        axis.set_ticks(range(len(names)), names, fontsize=8, parse_math=False, **turn)
    axes.set(xlabel="predicted class", ylabel="true class")
    seeds = predictions["seed"].nunique()
    over = f", {seeds} seeds" if seeds > 1 else ""
    title = f"{model}: confusion matrix, in % of each true class{over}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")


def confusion_shares(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """The normalized confusion matrix (actual, predicted): rows sum to 1, or to 0 for a class
    without test images."""
    counts = pd.crosstab(predictions["actual"], predictions["predicted"])
    counts = counts.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def samples(figure: Figure, shown: dict[str, list[Any]], pixels: np.ndarray) -> None:
    """Draw a grid of test images with the model's predictions; mistakes in red.

    shown: see `ImageClassificationView.samples`. pixels: (N, C, H, W) bytes, all test images.
    """
    rows = -(-len(shown["images"]) // ROW)
    figure.set_size_inches(8, 1.36 * rows + 0.1)
    # A fixed layout: an automatic one would shrink the images for long class names.
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
    """(C, H, W) bytes to (H, W) or (H, W, 3), at most SIDE pixels high and wide."""
    picture = Image.fromarray(image.transpose(1, 2, 0).squeeze())
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _short(name: str) -> str:
    """Shorten a name in its middle, because long names often differ only at the end."""
    return name if len(name) <= LONGEST else name[: LONGEST - 6] + "…" + name[-5:]
