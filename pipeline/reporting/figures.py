"""The pictures of the report, as PNG."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into files, without a screen

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from safetensors.numpy import load_file

from pipeline.paths import data_dir
from pipeline.reporting import answers, curves
from pipeline.reporting.results import Result
from pipeline.reporting.targets import ModelTargets

STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
DPI = 200  # twice the size on a page, for high-density screens
COLORS = 256  # a palette makes the file three times smaller


def draw(result: Result, reached: ModelTargets | None, folder: Path) -> list[Path]:
    """Draw all pictures of one model; returns the files: the learning curves, and for a classifier
    its confusion matrix and some predictions.

    reached: targets and cost of the reference; None if there are none for these data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{result.name}.png"]
    with _saved(files[0]) as figure:
        curves.draw(figure, result, reached)
    if result.predictions is not None:
        files += [folder / f"{result.name}-{kind}.png" for kind in ("confusion", "predictions")]
        with _saved(files[1]) as figure:
            answers.confusion(figure, result.predictions, result.data["classes"])
        with _saved(files[2]) as figure:
            pixels = load_file(data_dir(result.name) / "images.safetensors")["test_images"]
            answers.samples(figure, result.samples, pixels)
    return files


@contextmanager
def _saved(file: Path) -> Iterator[Figure]:
    """An empty figure, which is saved after the body has drawn into it."""
    with plt.rc_context(STYLE):
        figure = plt.figure()
        yield figure
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=DPI, format="png", bbox_inches="tight", pad_inches=0.08)
        plt.close(figure)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
