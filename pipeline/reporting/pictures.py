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

from pipeline.reporting import curves
from pipeline.reporting.targets import ModelTargets
from pipeline.results import Result
from pipeline.views import view
from pipeline.views.base import picture

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
    """Draw all pictures of one model: its curves, and those of its view; returns the files.

    reached: targets and cost of the reference; None if there are none for these data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / picture(result)]
    with _saved(files[0]) as figure:
        curves.draw(figure, result, reached)
    for kind, draw_into in view(result.task).pictures(result).items():
        files.append(folder / picture(result, kind))
        with _saved(files[-1]) as figure:
            draw_into(figure)
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
