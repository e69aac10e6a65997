"""reports/metrics.md: readable on GitHub and in a terminal."""

import io
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.params import Params
from pipeline.reporting import time_to_target
from pipeline.reporting.markup import fenced, number, plain, prefixed, table
from pipeline.reporting.opening import TITLES, cost, counted, margin, opening, times_fewer
from pipeline.reporting.results import Result, Training
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.verdicts import Verdict, one_class_only

HIDDEN = "■"


def render(
    params: Params,
    profile: str,
    results: dict[str, Result],
    verdicts: list[Verdict],
    reached: dict[str, ModelTargets],
    pictures: dict[str, list[Path]],
    environment: dict[str, Any],
    command: list[str],
) -> str:
    """The whole report.

    profile: what the parameters are, as a label.
    pictures: by model, in the folder figures/ beside the report.
    environment: machine, versions, commit. command: shell lines that repeat the run.
    """
    sections = [
        "# One Transformer, trained as BERT, GPT and ViT\n",
        f"Profile **{plain(profile)}**, {_seeds(params)}, {environment['finished']}.\n",
        opening(params, results, verdicts, reached),
        _verdict_table(verdicts),
        _time_table(results, reached),
        _reading(verdicts, results),
    ]
    for name, result in results.items():
        sections.append(_model(result, pictures[name]))
    sections += [
        "## Data\n",
        _data(results.values()),
        "## Parameters\n",
        fenced(_yaml(params), "yaml"),
        "## Machine and versions\n",
        _environment(environment),
        "## To repeat this run\n",
        fenced("\n".join(command), "sh"),
    ]
    return "\n".join(sections)


def _verdict_table(verdicts: list[Verdict]) -> str:
    several = len(verdicts[0].values) > 1
    rows = []
    for verdict in verdicts:
        rows.append(
            [
                TITLES[verdict.model],
                verdict.target.name,
                number(verdict.target.value),
                number(verdict.ours) + margin(verdict),
                *([f"{verdict.deviation:.4f}"] if several else []),
                f"{verdict.difference:+.4f}",
                verdict,
                number(verdict.baseline),
                "yes" if verdict.like_for_like else "no: " + "; ".join(verdict.differences),
            ]
        )
    spread = ["standard deviation"] if several else []
    header = ["model", "measure", "target", "ours", *spread, "difference", "verdict"]
    align = "llrr" + "r" * several + "rlrl"
    return table([*header, "trivial baseline", "like for like"], rows, align)


def _time_table(results: dict[str, Result], reached: dict[str, ModelTargets]) -> str:
    """When each target was first reached."""
    rows = []
    for name, result in results.items():
        theirs, unit = reached[name].cost, result.figures["unit"]
        for target in reached[name].targets:
            found = time_to_target.moments(result, [target])
            moment = time_to_target.median(found)
            seen = sum(each is not None for each in found)
            rows.append(
                [
                    TITLES[name],
                    target.name,
                    f"{seen} of {counted(len(found), 'seed')}",
                    *(
                        (
                            f"{moment.step:,}",
                            cost(moment, unit),
                            times_fewer(theirs.units, moment.units),
                            times_fewer(theirs.flops, moment.flops),
                        )
                        if moment
                        else ("never", "", "", "")
                    ),
                ]
            )
    header = ["model", "time to target", "reached by", "step", "after"]
    header += ["tokens or images", "operations"]
    said = (
        "The first evaluation at which a training is at its target or past it, by the evaluation "
        "that the target is about; of several seeds the median, in which a seed that never gets "
        "there is the latest. Tokens, images and operations are compared with those of the "
        "reference's whole training: "
        + "; ".join(
            f"{TITLES[name]} {each.cost.steps:,} steps, {each.cost.units:,} "
            f"{results[name].figures['unit']}, {prefixed(each.cost.flops)}FLOP"
            for name, each in reached.items()
        )
    )
    return table(header, rows, "lllrrrr") + f"\n{said}.\n"


def _reading(verdicts: list[Verdict], results: dict[str, Result]) -> str:
    """How to read the table: what each row compares, and two traps."""
    lines = [
        f"- {TITLES[verdict.model]} {verdict.target.name}, the reference's: "
        f"{verdict.target.measured}; ours: {verdict.target.how}."
        for verdict in verdicts
    ]
    gpt, vit = results["gpt"].figures, results["vit"].figures
    count = len(verdicts[0].values)
    if count == 1:
        lines.append(
            "- Each verdict rests on one run: another seed gives other figures. `dvc exp run -S "
            "'seeds=[0,1,2]'` tells by how much."
        )
    else:
        lines.append(
            f"- Ours is the mean over {count} seeds, ± its 95% confidence interval (Student's t). "
            "A target is met, or not met, when the whole interval is on one side of it; "
            "otherwise the verdict is undecided."
        )
    lines.append(
        "- The trivial baseline has learnt nothing but frequencies: of the words, or of the "
        "classes."
    )
    lines.append(
        "- A GPT validation loss near the baseline beside a small training loss is memorisation. "
        f"Ours was lowest, {number(gpt['best_loss'])}, at step {gpt['best_step']:,.0f} of "
        f"{gpt['steps']:,}."
    )
    lines.append(
        "- The reference's ViT learnt nothing: its test accuracies 0.5417, 0.2604 and 0.1979 are "
        "what 'always sushi', 'always pizza' and 'always steak' get as a mean over batches of "
        "32, 32 and 11 test images; per image, 'always sushi' is right for 31 of 75, 0.4133. "
        "The target is compared with the same mean over batches; per image our accuracy is "
        f"{number(vit['accuracy'])}, and always the most frequent class gives "
        f"{number(vit['baseline_accuracy'])}."
    )
    for seed in one_class_only(results["vit"]):
        lines.append(
            f"- **Warning: our ViT with seed {seed} gives the same class to every test image. It "
            "has learnt nothing, whatever the verdicts say.**"
        )
    return "\n".join(lines) + "\n"


def _model(result: Result, pictures: list[Path]) -> str:
    title = TITLES[result.name]
    parts = [f"## {title}\n", f"![{title}: curves](figures/{pictures[0].name})\n"]
    parts.append(table(["figure", "value"], _figures(result), "lr"))
    parts += [_provenance(training) for training in result.trainings]
    parts.append(SAMPLES[result.name](result, pictures))
    return "\n".join(parts)


def _figures(result: Result) -> list[tuple[str, str]]:
    figures = result.figures
    unit = figures["unit"]
    # A text without a held-out part has no figures of it.
    rows = [
        (label, _spread(result, key))
        for key, label in FIGURES[result.name].items()
        if key in figures
    ]
    if "best_loss" in figures:
        step = f"at step {figures['best_step']:,.0f}"
        best = f"{_spread(result, 'best_loss')} {step}"
        rows.append(("best held-out loss during training", best))
    epochs = figures["epochs"]
    rows += [
        ("steps", f"{figures['steps']:,}, batches of {figures['batch_size']:,}"),
        (unit, f"{figures[unit]:,} ({epochs:.3g} {'epoch' if epochs == 1 else 'epochs'})"),
        ("parameters", f"{figures['parameters']:,}"),
        (
            "floating-point operations",
            f"{prefixed(figures['flops'])} ({prefixed(figures['flops_per_step'])} a step)",
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
    """A figure; of several seeds the mean and the standard deviation."""
    values = result.values(key)
    if len(values) == 1:
        return number(values[0])
    mean = statistics.fmean(values)
    if statistics.stdev(values) == 0:
        return f"{number(values[0])} with every seed"
    return f"{number(mean)} (deviation {statistics.stdev(values):.2g})"


def _seeds(params: Params) -> str:
    seeds = ", ".join(map(str, params.seeds))
    return f"seed {seeds}" if len(params.seeds) == 1 else f"seeds {seeds}"


def _provenance(training: Training) -> str:
    """Where a model comes from: this run, DVC's cache, or another machine."""
    record = training.record
    if record is None:
        return (
            f"Seed {training.seed}: restored from DVC's cache; this machine has no record of how "
            "long its training took.\n"
        )
    run = f"MLflow run `{record['mlflow_run_id']}`" if record["mlflow_run_id"] else "no MLflow run"
    made = (
        "trained in this run"
        if record["this_repro"]
        else f"restored from DVC's cache, trained {record['finished']}"
    )
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
    lines_of = "Held-out lines" if "loss" in result.figures else "Lines of the text"
    said = f"{lines_of}; what stands at each {HIDDEN}, and the likeliest words:\n\n"
    return said + fenced("\n".join(lines[1:]))


def _gpt_samples(result: Result, pictures: list[Path]) -> str:
    blocks = [
        fenced(f"{sample['prompt']}\n--> {sample['continuation']}") for sample in result.samples
    ]
    return "Beginnings from the validation text, and how the model goes on:\n\n" + "\n".join(blocks)


def _vit_samples(result: Result, pictures: list[Path]) -> str:
    said = "Test images, and what the model takes them for:"
    return f"{said}\n\n![ViT: predictions](figures/{pictures[1].name})\n"


SAMPLES = {"bert": _bert_samples, "gpt": _gpt_samples, "vit": _vit_samples}
FIGURES = {
    "bert": {
        "loss": "held-out loss (nats)",
        "top1": "held-out accuracy",
        "top5": "held-out accuracy, among the first five",
        "train_loss": "training loss",
        "baseline_train_loss": "training loss of the word frequencies alone",
        "baseline_loss": "held-out loss of the word frequencies alone",
    },
    "gpt": {
        "train_loss": "training loss (nats)",
        "loss": "validation loss (nats)",
        "perplexity": "validation perplexity",
        "bits_per_byte": "validation bits per byte",
        "baseline_loss": "validation loss of the token frequencies alone",
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


def _data(results: Iterable[Result]) -> str:
    rows = [
        (
            TITLES[result.name],
            result.data["title"],
            result.data["licence"],
            file["name"],
            file["sha256"],
        )
        for result in results
        for file in result.data["files"]
    ]
    return table(["model", "data", "licence", "file", "SHA-256"], rows)


def _environment(environment: dict[str, Any]) -> str:
    machine = environment["machine"]
    rows = [
        ("processor", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB"),
        ("system", machine["system"]),
        ("git commit", environment["git_commit"] or "none"),
        *environment["versions"].items(),
    ]
    return table(["", ""], rows)


def _yaml(params: Params) -> str:
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(params.model_dump(exclude_none=True), stream)
    return stream.getvalue().strip()
