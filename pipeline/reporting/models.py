"""The section of the report on one model."""

import statistics
from pathlib import Path

from pipeline.reporting.markup import fenced, table
from pipeline.reporting.opening import TITLES
from pipeline.reporting.results import Result, Training
from pipeline.wording import counted, number, prefixed, significant

HIDDEN = "■"


def section(result: Result, pictures: list[Path]) -> str:
    """Learning curves, results, origin and samples. pictures: files, the curves first."""
    title = TITLES[result.name]
    parts = [f"## {title}\n", f"![{title}: curves](figures/{pictures[0].name})\n"]
    parts.append(table(["figure", "value"], _figures(result), "lr"))
    parts += [_provenance(training) for training in result.trainings]
    parts.append(SAMPLES[result.name](result, pictures))
    return "\n".join(parts)


def _figures(result: Result) -> list[tuple[str, str]]:
    figures = result.figures
    unit = figures["unit"]
    # Without a held-out part, its metrics are missing.
    rows = [
        (label, _spread(result, key))
        for key, label in FIGURES[result.name].items()
        if key in figures
    ]
    if "best_loss" in figures:
        step = f"at step {figures['best_step']:,.0f}"
        best = f"{_spread(result, 'best_loss')} {step}"
        rows.append(("best held-out loss during training", best))
    epochs = counted(significant(figures["epochs"]), "epoch")
    rows += [
        ("steps", f"{figures['steps']:,}, batches of {figures['batch_size']:,}"),
        (unit, f"{figures[unit]:,} ({epochs})"),
        ("parameters", f"{figures['parameters']:,}"),
        (
            "floating-point operations",
            f"{prefixed(figures['flops'])} ({prefixed(figures['flops_per_step'])} per step)",
        ),
    ]
    for training in result.trainings:
        if record := training.record:
            seconds = record["seconds"]
            split = ", ".join(f"{key} {value:,.1f} s" for key, value in seconds.items())
            which = f", seed {training.seed}" if len(result.trainings) > 1 else ""
            rows += [
                (f"time{which}", f"{sum(seconds.values()):,.0f} s: {split}"),
                (
                    f"throughput while training{which}",
                    f"{record['throughput']:,.0f} {record['unit']}/s, "
                    f"{prefixed(figures['flops'] / seconds['train'])}FLOP/s",
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


def _bert_samples(result: Result, pictures: list[Path]) -> str:
    lines = []
    for sample in result.samples:
        lines += ["", sample["masked"].replace("[MASK]", HIDDEN)]
        for answer, words in zip(sample["answer"], sample["predictions"], strict=True):
            mark = "+" if answer == words[0][0] else "-"
            guesses = "  ".join(f"{word} {chance:.0%}" for word, chance in words)
            lines.append(f"  {mark} {answer:<14} {guesses}")
    lines_of = "Held-out text" if "loss" in result.figures else "Training text"
    heading = f"{lines_of}; for each {HIDDEN}, the right word and the most likely words:\n\n"
    return heading + fenced("\n".join(lines[1:]))


def _gpt_samples(result: Result, pictures: list[Path]) -> str:
    blocks = [
        fenced(f"{sample['prompt']}\n--> {sample['continuation']}") for sample in result.samples
    ]
    return "Prompts from the validation text, and the model's text:\n\n" + "\n".join(blocks)


def _vit_samples(result: Result, pictures: list[Path]) -> str:
    answers = result.predictions[result.predictions["seed"] == str(result.trainings[0].seed)]
    wrong = int((answers["actual"] != answers["predicted"]).sum())
    shown = sum(map(str.__ne__, result.samples["actual"], result.samples["predicted"]))
    which = f" with seed {result.trainings[0].seed}" if len(result.trainings) > 1 else ""
    some = "all of them" if shown == wrong else f"the {shown} with the highest probability"
    mistakes = f" Mistakes come first, {some}, with the true class below." if wrong else ""
    return (
        f"![ViT: confusion matrix](figures/{pictures[1].name})\n\n"
        f"The model{which} is wrong on {wrong:,} of "
        f"{counted(len(answers), 'test image')}.{mistakes}\n\n"
        f"![ViT: predictions](figures/{pictures[2].name})\n"
    )


SAMPLES = {"bert": _bert_samples, "gpt": _gpt_samples, "vit": _vit_samples}
FIGURES = {
    "bert": {
        "loss": "held-out loss (nats)",
        "top1": "held-out accuracy",
        "top5": "held-out top-5 accuracy",
        "train_loss": "training loss",
        "baseline_train_loss": "training loss of only word frequencies",
        "baseline_loss": "held-out loss of only word frequencies",
    },
    "gpt": {
        "train_loss": "training loss (nats)",
        "loss": "validation loss (nats)",
        "perplexity": "validation perplexity",
        "bits_per_byte": "validation bits per byte",
        "baseline_loss": "validation loss of only token frequencies",
    },
    "vit": {
        "accuracy": "test accuracy, per image",
        "loss": "test loss, per image (nats)",
        "batch_accuracy": "test accuracy, mean over batches of 32",
        "batch_loss": "test loss, mean over batches of 32",
        "train_accuracy": "training accuracy, without augmentation",
        "baseline_accuracy": "test accuracy of the most frequent class",
        "classes_predicted": "different classes predicted",
    },
}
