"""Writes reports/reference-run/README.md from what is collected."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reference_run import FOLDER, MODELS, TITLES, other_runs, pictures, sections
from benchmarks.reference_run.findings import Collected, load
from pipeline.markup import fenced, table
from pipeline.wording import counted, duration, listed


def write() -> Path:
    """Write the page and its pictures; returns its path.

    Raises:
        UserError: a model is not collected.
    """
    runs = {name: load(name) for name in MODELS}
    bert, gpt, vit = runs.values()
    text = [
        "# The reference's recipe, run\n",
        _opening(runs),
        "## What was found\n",
        "\n".join((sections.bert_finding(bert), sections.gpt_finding(gpt),
                   sections.vit_finding(vit))) + "\n",
        other_runs.representative(bert, gpt, vit),
    ]  # fmt: skip
    for name, section in (("bert", sections.bert), ("gpt", sections.gpt), ("vit", sections.vit)):
        text += [
            f"## {TITLES[name]}\n",
            f"![Curves of {TITLES[name]}: ours and the reference's]({pictures.draw(runs[name])})\n",
            section(runs[name]),
        ]
    text += [
        "## Other public runs\n",
        other_runs.table_of_runs(bert, gpt, vit),
        "## How it was run\n",
        _environment(runs),
    ]
    file = FOLDER / "README.md"
    file.write_text("\n".join(text), "utf-8")
    return file


def _opening(runs: dict[str, Collected]) -> str:
    lengths = {
        "bert": f"{runs['bert'].parameter('train.steps'):,} iterations",
        "gpt": f"{runs['gpt'].parameter('train.steps'):,} steps",
        "vit": counted(runs["vit"].parameter("train.epochs"), "epoch"),
    }
    trained = listed(
        [
            f"{TITLES[name]} for {length} ({counted(len(runs[name].seeds), 'seed')})"
            for name, length in lengths.items()
        ]
    )
    changes = dict.fromkeys(change for run in runs.values() for change in run.changes())
    but = (
        f" It differs from the profile in {', '.join(f'`{c}`' for c in changes)}."
        if changes
        else ""
    )
    return (
        "The profile `reference` has the reference's texts and photographs, sizes, optimizers and "
        f"budgets ([what the reference is](../../docs/reference.md)). Our code trained {trained}."
        f"{but} The reference's results are in [`targets.yaml`](../targets.yaml), its logged "
        "curves in [`reference/`](../reference/).\n"
    )


def _environment(runs: dict[str, Collected]) -> str:
    rows = []
    for name, run in runs.items():
        seconds = [training["seconds"]["train"] for training in run.trainings]
        first = run.trainings[0]
        rows.append(
            (
                TITLES[name],
                ", ".join(map(str, run.seeds)),
                _each(training["device"] for training in run.trainings),
                f"{statistics.fmean(seconds):,.0f} ({duration(statistics.fmean(seconds))})",
                run.parameter("train.precision"),
                _each(training["versions"]["torch"] for training in run.trainings),
                _each((training["git_commit"] or "unknown")[:12] for training in run.trainings),
                first["finished"][:10],
            )
        )
    header = ("model", "seeds", "device", "seconds of training per seed", "precision", "torch")
    seeds = {name: ",".join(map(str, run.seeds)) for name, run in runs.items()}
    stages = "\n".join(
        [
            *dict.fromkeys(
                f"./run dvc exp run -S +profile=reference -S 'seeds=[{each}]'"
                for each in seeds.values()
            ),
            "./run python -m benchmarks.reference_run collect",
            "./run python -m benchmarks.reference_run page",
        ]
    )
    return (
        table((*header, "commit", "date"), rows)
        + "\nThe files beside this page have every metric: `<model>.csv` the curves as the "
        "reference logs them (iterations count from 0), `<model>-evaluations.csv` the evaluations "
        "during training, `<model>.json` the final metrics, cost and machine of each seed. To "
        "repeat it:\n\n" + fenced(stages, "sh")
    )


def _each(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))
