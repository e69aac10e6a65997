"""The section of the report on one model."""

import statistics

from pipeline.markup import table
from pipeline.results import Result, Training
from pipeline.views import view
from pipeline.views.base import PICTURES, picture
from pipeline.wording import counted, number, prefixed, significant


def section(result: Result) -> str:
    """Learning curves, results, origin and samples."""
    seen = view(result.task)
    title = seen.title(result.name)
    parts = [f"## {title}\n", f"![{title}: curves]({PICTURES}/{picture(result)})\n"]
    parts.append(table(["metric", "value"], _metrics(result), "lr"))
    parts += [_provenance(training) for training in result.trainings]
    parts.append(seen.shown(result))
    return "\n".join(parts)


def _metrics(result: Result) -> list[tuple[str, str]]:
    metrics = result.metrics
    unit = metrics["unit"]
    # Without a held-out part, its metrics are missing.
    rows = [
        (label, _spread(result, key))
        for key, label in view(result.task).rows.items()
        if key in metrics
    ]
    if "best_loss" in metrics:
        best = f"{_spread(result, 'best_loss')} at step {metrics['best_step']:,.0f}"
        rows.append(("best held-out loss during training", best))
    epochs = counted(significant(metrics["epochs"]), "epoch")
    rows += [
        ("steps", f"{metrics['steps']:,}, batches of {metrics['batch_size']:,}"),
        (unit, f"{metrics[unit]:,} ({epochs})"),
        ("parameters", f"{metrics['parameters']:,}"),
        (
            "floating-point operations",
            f"{prefixed(metrics['flops'])} ({prefixed(metrics['flops_per_step'])} per step)",
        ),
    ]
    for training in result.trainings:
        if record := training.record:
            seconds = record["seconds"]
            split = ", ".join(f"{key} {value:,.1f} s" for key, value in seconds.items())
            which = f", seed {training.seed}" if len(result.trainings) > 1 else ""
            speed = metrics["flops"] / seconds["train"]
            share = ""
            if peak := record.get("peak"):  # not on a GPU, nor for several processes
                share = f", {speed / peak:.0%} of a large product's {prefixed(peak)}FLOP/s"
                share += " with the same kernels"
            rows += [
                (f"time{which}", f"{sum(seconds.values()):,.0f} s: {split}"),
                (
                    f"throughput while training{which}",
                    f"{record['throughput']:,.0f} {record['unit']}/s, "
                    f"{prefixed(speed)}FLOP/s{share}",
                ),
            ]
    return rows


def _spread(result: Result, key: str) -> str:
    """A metric; for several seeds mean and standard deviation, or the range of a count."""
    values = result.values(key)
    if len(values) == 1:
        return number(values[0])
    if len(set(values)) == 1:
        return f"{number(values[0])} for each seed"
    if all(isinstance(value, int) for value in values):
        return f"{number(min(values))} to {number(max(values))}"
    deviation = significant(statistics.stdev(values), 2)
    return f"{number(statistics.fmean(values))} (standard deviation {deviation})"


def _provenance(training: Training) -> str:
    """The origin of a model: this run, DVC's cache, a command without DVC, or another machine."""
    record = training.record
    if record is None:
        return (
            f"Seed {training.seed}: restored from DVC's cache; this machine has no record of its "
            "training.\n"
        )
    run = f"MLflow run `{record['mlflow_run_id']}`" if record["mlflow_run_id"] else "no MLflow run"
    made = "trained in this run" if record["this_repro"] else f"trained {record['finished']}"
    if record["dvc_process"] and not record["this_repro"]:
        made = f"restored from DVC's cache, {made}"
    commit = f", commit `{record['git_commit']}`" if record["git_commit"] else ""
    return f"Seed {training.seed}: {made} on {record['device']}{commit}; {run}.\n"
