"""Our curves over the reference's logged ones, as PNG."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from benchmarks.reference_run import FOLDER
from benchmarks.reference_run.findings import (
    Collected,
    masked,
    other_runs,
    target,
)
from pipeline.reporting import targets
from pipeline.reporting.curves import MINIMISED, REFERENCE
from pipeline.reporting.pictures import DPI, STYLE
from pipeline.views.base import HELD_OUT, TRAINING
from pipeline.wording import counted

THEIRS = {"color": REFERENCE, "linewidth": 1.2, "zorder": 3}
# Of four public logs at iteration 0: lowest and highest.
FIRST_LOSS, FIRST_DELTA_W = (10.20, 10.33), (1.14, 1.22)


def draw(run: Collected) -> str:
    """Draw the picture of one model; returns the file's name."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(9.5, 6.2), layout="constrained")
        PICTURES[run.name](figure, run)
        handles = {}
        for axes in figure.axes:
            handles |= {
                label: handle
                for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
            }
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=8)
        figure.savefig(FOLDER / f"{run.name}.png", dpi=DPI)
        plt.close(figure)
    return f"{run.name}.png"


def _bert(figure: Figure, run: Collected) -> None:
    theirs = targets.curve("bert")
    columns = (("loss", "loss (nats)", FIRST_LOSS), ("delta_w", "Δw", FIRST_DELTA_W))
    for row, (column, label, known) in zip(figure.subplots(2, 2), columns, strict=True):
        for axes in row:
            _ours(axes, run, "iteration", column, "training batches")
            axes.plot(theirs["step"], theirs[column], label="the reference", **THEIRS)
            axes.set(xlabel="iteration", ylabel=label)
        row[0].set_title("whole training")
        row[0].plot(
            [0, 0], known, color=HELD_OUT, linewidth=4, label="four public logs at iteration 0"
        )
        row[1].set_title("the iterations that the reference logged")
        first, last = theirs["step"].iloc[[0, -1]]
        row[1].set_xlim(first, last)
        ours = run.curve.loc[run.curve["iteration"] >= first, column]
        shown = pd.concat([theirs[column], ours])
        margin = 0.05 * (shown.max() - shown.min())
        row[1].set_ylim(shown.min() - margin, shown.max() + margin)


def _gpt(figure: Figure, run: Collected) -> None:
    theirs, others = targets.curve("gpt"), other_runs()
    last = theirs["step"].iloc[-1]
    train, validation = figure.subplots(1, 2)
    _ours(train, run, "iteration", "loss", "training batches")
    train.plot(theirs["step"], theirs["loss"], label="the reference", **THEIRS)
    panels = (
        (train, "train_loss", "training", "gpt_train_loss"),
        (validation, "loss", "validation", "gpt_validation_loss"),
    )
    for axes, column, split, of_others in panels:
        table = run.evaluations.pivot(index="step", columns="seed", values=column)
        look = {"color": HELD_OUT, "marker": "o", "markersize": 3}
        axes.plot(table.index - 1, table.mean(1), label="ours: whole text, dropout off", **look)
        axes.fill_between(table.index - 1, table.min(1), table.max(1), color=HELD_OUT, alpha=0.25)
        for mask, marker in (("causal", "s"), ("none", "D")):
            values = masked(run, mask, "ten batches", column)
            name = "causal mask" if mask == "causal" else "no mask"
            points = {"color": TRAINING, "linestyle": "", "markersize": 5, "zorder": 4}
            points |= {"marker": marker, "markerfacecolor": "none"}
            place = [run.evaluations["step"].max() - 1] * len(values)
            axes.plot(place, values, label=f"ours at the end: ten batches, {name}", **points)
        value = target("gpt", f"{split} loss")
        star = {"color": REFERENCE, "linestyle": "", "marker": "*", "markersize": 11, "zorder": 5}
        axes.plot(last, value, label="the reference: ten batches", **star)
        cross = {"color": MINIMISED, "linestyle": "", "marker": "x", "markersize": 5, "zorder": 2}
        axes.plot([last] * len(others), others[of_others], label="other public runs", **cross)
        axes.set(xlabel="iteration", ylabel=f"{split} loss (nats)", title=f"{split} loss")
    train.set_yscale("log")


def _vit(figure: Figure, run: Collected) -> None:
    theirs = targets.curve("vit")
    always = run.trainings[0]["always"]
    for row, kind in zip(figure.subplots(2, 2), ("loss", "accuracy"), strict=True):
        for axes, split in zip(row, ("train", "test"), strict=True):
            column = f"{split}_{kind}"
            for seed in run.seeds:
                ours = run.of(seed)
                points = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.5}
                axes.plot(ours["epoch"], ours[column], color=TRAINING, label="ours, each seed",
                          **points)  # fmt: skip
            axes.plot(theirs["epoch"], theirs[column], label="the reference", **THEIRS)
            axes.set(xlabel="epoch", ylabel=kind, title=f"{split} {kind}")
            if kind == "loss":
                axes.set_yscale("log")
                for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                    formatter(ScalarFormatter())
    for name, value in always.items():
        axes.axhline(value, color=HELD_OUT, linewidth=0.8, linestyle="--",
                     label="always the same class")  # fmt: skip
        axes.annotate(f" {name}", (1.0, value), xycoords=("axes fraction", "data"), fontsize=7,
                      va="center")  # fmt: skip


def _ours(axes: Axes, run: Collected, x: str, column: str, what: str) -> None:
    """The mean over the seeds, and for several a band from the lowest to the highest."""
    table = run.curve.pivot(index=x, columns="seed", values=column)
    label = f"ours: {what}"
    if len(run.seeds) > 1:
        label += f", mean and range of {counted(len(run.seeds), 'seed')}"
        axes.fill_between(table.index, table.min(1), table.max(1), color=TRAINING, alpha=0.25)
    axes.plot(table.index, table.mean(1), color=TRAINING, linewidth=0.8, label=label)


PICTURES: dict[str, Callable[[Figure, Collected], None]] = {
    "bert": _bert,
    "gpt": _gpt,
    "vit": _vit,
}
