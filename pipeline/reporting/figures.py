"""The pictures of the report, as PNG."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into files, needs no screen

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from safetensors.numpy import load_file

from pipeline.reporting import targets
from pipeline.reporting.results import Result
from pipeline.reporting.targets import ModelTargets

OURS, HELD_OUT, REFERENCE, MUTED = "#1f5fa8", "#d9822b", "#3a3a3a", "#9a9a9a"
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 120,
}
SMOOTHING = 0.02  # share of a curve that its moving average spans
COLUMNS = 8  # of the grid of images
LONGEST = 14  # letters of the name of a class
# The only use of the file's metadata would be to differ between versions of matplotlib.
METADATA = {"Software": None}


def draw(result: Result, reached: ModelTargets, folder: Path) -> list[Path]:
    """All pictures of one model; returns the files, the loss curve first."""
    folder.mkdir(parents=True, exist_ok=True)
    if result.name != "vit":
        return [_language_model(result, reached, folder / f"{result.name}.png")]
    return [
        _vit(result, reached, folder / "vit.png"),
        _images(result, folder / "vit-predictions.png"),
    ]


@contextmanager
def _axes(file: Path, title: str, panels: int = 1) -> Iterator[list[Axes]]:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, panels, figsize=(8, 4.2), layout="constrained", squeeze=False
        )
        figure.suptitle(title, fontsize=12)
        yield list(axes[0])
        figure.savefig(file, metadata=METADATA)
        plt.close(figure)


def _language_model(result: Result, reached: ModelTargets, file: Path) -> Path:
    """Loss by the tokens seen: the one axis on which runs with other batches compare.

    What the targets are compared with is drawn in full colour; the loss that the training
    minimises, with its masks, dropout and label smoothing, is another one and stands behind.
    """
    reference = targets.curve(result.name)
    per_step = reached.cost.units / reached.cost.steps
    ours_per_step = result.figures["tokens"] / result.figures["steps"]
    with _axes(file, f"{result.name.upper()}: loss by tokens seen") as (axes,):
        ours, evaluated = result.history, result.validation
        label = "training batches, the loss that is minimised"
        axes.plot(ours["step"] * ours_per_step, _smooth(ours["loss"]), color=MUTED, label=label)
        marks = {"marker": "o", "markersize": 3}
        for key, color, label in (
            ("train_loss", OURS, "training text, measured as the target is"),
            ("loss", HELD_OUT, "held-out text"),
        ):
            if key in evaluated:
                tokens = evaluated["step"] * ours_per_step
                axes.plot(tokens, evaluated[key], color=color, label=label, **marks)
        axes.plot(
            reference["step"] * per_step,
            reference["loss"],
            color=REFERENCE,
            linewidth=1,
            label="the reference's training batches",
        )
        for target in reached.targets:
            _target(axes, target.value, f"target, {target.name} {target.value:g}")
        _baseline(axes, result.figures["baseline_train_loss"], "unigram frequencies alone")
        axes.set(xlabel="tokens", ylabel="loss (nats)")
        if result.name == "bert":
            axes.set(xscale="log")
        else:
            axes.set_ylim(bottom=0)
        axes.legend(loc="best", fontsize=8)
    return file


def _vit(result: Result, reached: ModelTargets, file: Path) -> Path:
    """Loss and accuracy by epoch, as means over batches, which is how the reference logs them."""
    reference = targets.curve("vit")
    history = result.history
    epochs = result.figures["epochs"]
    per_epoch = result.figures["steps"] / epochs
    ours = history.groupby(np.ceil(history["step"] / per_epoch)).mean()
    tested = result.validation["step"] / per_epoch
    with _axes(file, "ViT: loss and accuracy by epoch", panels=2) as both:
        for axes, key, logged in zip(
            both, ("loss", "accuracy"), ("cross_entropy", "accuracy"), strict=True
        ):
            axes.plot(ours.index, ours[logged], color=OURS, label="training batches")
            axes.plot(tested, result.validation[f"batch_{key}"], color=HELD_OUT, label="test")
            for split, style in (("train", "-"), ("test", ":")):
                axes.plot(
                    reference["epoch"],
                    reference[f"{split}_{key}"],
                    style,
                    color=REFERENCE,
                    linewidth=1,
                    label=f"the reference's {'training' if split == 'train' else 'test'}",
                )
            axes.set(xlabel="epoch", ylabel="loss (nats)" if key == "loss" else "accuracy")
        _baseline(both[0], result.figures["baseline_batch_loss"], "class frequencies alone")
        _baseline(both[1], result.figures["baseline_batch_accuracy"], "always one class")
        for axes in both:
            axes.set_ylim(bottom=0)  # now that all is drawn that has to fit
            axes.legend(loc="best", fontsize=8)
    return file


def _images(result: Result, file: Path) -> Path:
    """A grid of test images, with what the model takes them for; mistakes in red."""
    samples = result.samples
    pixels = load_file(Path("data") / "vit" / "images.safetensors")["test_images"]
    rows = -(-len(samples["images"]) // COLUMNS)
    with plt.rc_context(STYLE):
        # Not a layout that makes room for titles: long names of classes would take all of it.
        grid = {"hspace": 0.6, "left": 0.01, "right": 0.99, "bottom": 0.02, "top": 0.85}
        size = (8, 1.3 * rows + 0.2)
        figure, axes = plt.subplots(rows, COLUMNS, figsize=size, gridspec_kw=grid, squeeze=False)
        for cell in axes.flat:
            cell.axis("off")
        shown = zip(
            axes.flat,
            samples["images"],
            samples["actual"],
            samples["predicted"],
            samples["probability"],
            strict=False,
        )
        for cell, index, actual, predicted, probability in shown:
            cell.imshow(pixels[index].transpose(1, 2, 0).squeeze(), cmap="gray_r")
            right = actual == predicted
            text = f"{_short(predicted)} {probability:.0%}"
            text += "" if right else f"\nis {_short(actual)}"
            # parse_math: a class may be called '$5'.
            cell.set_title(
                text, fontsize=7, color="black" if right else "#c0261f", parse_math=False
            )
        figure.savefig(file, metadata=METADATA)
        plt.close(figure)
    return file


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _smooth(values: pd.Series) -> pd.Series:
    span = max(1, round(SMOOTHING * len(values)))
    return values.rolling(span, min_periods=1).mean()


def _target(axes: Axes, value: float, label: str) -> None:
    """Named between our curve and the reference's."""
    axes.axhline(value, color=REFERENCE, linestyle="--", linewidth=0.8)
    place = {"xycoords": ("axes fraction", "data"), "ha": "center", "va": "bottom"}
    axes.annotate(label, (0.35, value), fontsize=7, color=REFERENCE, **place)


def _baseline(axes: Axes, value: float, label: str) -> None:
    axes.axhline(value, color=MUTED, linestyle="--", linewidth=0.8)
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "top"}
    below = {"xytext": (0, -2), "textcoords": "offset points"}
    axes.annotate(label, (1, value), fontsize=7, color=MUTED, **place, **below)
