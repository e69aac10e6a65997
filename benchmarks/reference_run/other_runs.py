"""The other public runs of the exercise, beside the reference's and ours."""

import pandas as pd

from benchmarks.reference_run.findings import (
    LOGGED,
    Collected,
    constant_epochs,
    masked,
    other_runs,
    target,
)
from benchmarks.reference_run.sections import span
from pipeline.markup import table
from pipeline.reporting import targets
from pipeline.wording import counted, number


def table_of_runs(bert: Collected, gpt: Collected, vit: Collected) -> str:
    """The table of public runs, with the reference and ours."""
    theirs = targets.curve("bert")
    rows = [
        (
            "the reference",
            f"iteration {theirs['step'].iloc[-1]:,}: {theirs['loss'].iloc[-1]:.2f}, "
            f"{theirs['delta_w'].iloc[-1]:.1f}",
            " / ".join(number(target("gpt", f"{s} loss")) for s in ("training", "validation")),
            "",
            f"epoch 42: {number(target('vit', 'test loss'))}, "
            f"{number(target('vit', 'test accuracy'))}",
        )
    ]
    for run in other_runs().itertuples():
        change = "" if pd.isna(run.bert_delta_w) else f", {run.bert_delta_w:g}"
        later = "" if pd.isna(run.gpt_train_loss_1499) else (
            f"{number(run.gpt_train_loss_1499)} / {number(run.gpt_validation_loss_1499)}"
        )  # fmt: skip
        accuracy = "" if pd.isna(run.vit_accuracy) else f", {number(run.vit_accuracy)}"
        rows.append(
            (
                run.run,
                f"iteration {run.bert_iteration:,}: {run.bert_loss:.2f}{change}",
                f"{number(run.gpt_train_loss)} / {number(run.gpt_validation_loss)}",
                later,
                f"epoch {run.vit_epoch}: {run.vit_loss:g}{accuracy}",
            )
        )
    for seed in bert.seeds:
        last = bert.of(seed).iloc[-1]
        rows.append(
            (
                f"ours, seed {seed}",
                f"iteration {last['iteration']:,.0f}: {last['loss']:.2f}, {last['delta_w']:.1f}",
                *_gpt_and_vit(gpt, vit, seed),
            )
        )
    rows += [
        (f"ours, seed {seed}", "", *_gpt_and_vit(gpt, vit, seed))
        for seed in gpt.seeds
        if seed not in bert.seeds
    ]
    header = ("run", "BERT: last logged loss, Δw", "GPT near step 500: training / validation loss",
              "GPT at step 1,499", "ViT from scratch: loss, test accuracy")  # fmt: skip
    return (
        table(header, rows) + "\nFrom the logs of public repositories of the same exercise "
        "([`other_runs.csv`](../reference/other_runs.csv)); empty where a log has nothing. GPT of "
        "ours is evaluated on ten random batches with the causal mask.\n"
    )


def _gpt_and_vit(gpt: Collected, vit: Collected, seed: int) -> tuple[str, str, str]:
    of_gpt = of_vit = ""
    if seed in gpt.seeds:
        index = gpt.seeds.index(seed)
        losses = (masked(gpt, "causal", "ten batches", f)[index] for f in ("train_loss", "loss"))
        of_gpt = " / ".join(map(number, losses))
    if seed in vit.seeds:
        last = vit.of(seed).iloc[-1]
        losses = f"{number(last['test_loss'])}, {number(last['test_accuracy'])}"
        of_vit = f"epoch {last['epoch']:.0f}: {losses}"
    return of_gpt, "", of_vit


def representative(bert: Collected, gpt: Collected, vit: Collected) -> str:
    """How representative the targets are."""
    runs, goal = other_runs(), targets.curve("bert")["loss"].iloc[-1]
    whole = runs[runs["bert_iteration"] == runs["bert_iteration"].max()]["bert_loss"]
    training, validation = (target("gpt", f"{split} loss") for split in ("training", "validation"))
    accuracies = runs["vit_accuracy"].dropna()
    constant = constant_epochs(accuracies, vit.trainings[0]["always"])
    causal = masked(gpt, "causal", "ten batches", "loss")
    as_low = sum(value <= validation for value in causal)
    return (
        "**How representative the targets are.** BERT's is typical: of "
        f"{len(whole)} other public runs that end at the same iteration, {(whole < goal).sum()} "
        f"end lower and {(whole > goal).sum()} higher ({span(whole, 2)}); but 4.3 is one batch, "
        f"and of the reference's last {LOGGED} logged losses "
        f"{(targets.curve('bert')['loss'] <= target('bert', 'loss')).sum()} are as low. GPT's "
        f"pair is an outlier: near step 500, {(runs['gpt_validation_loss'] <= validation).sum()} "
        f"of {len(runs)} other runs have a validation loss as low as {number(validation)} "
        f"({span(runs['gpt_validation_loss'], 4)}), and "
        f"{(runs['gpt_train_loss'] <= training).sum()} a training loss as low as "
        f"{number(training)} ({span(runs['gpt_train_loss'], 4)}); {as_low} of our "
        f"{counted(len(gpt.seeds), 'seed')} with its recipe {'has' if as_low == 1 else 'have'} a "
        f"validation loss as low ({span(causal, 4)}, with the causal mask). "
        f"ViT's targets are those of a constant predictor: {constant} of the "
        f"{len(accuracies)} other logged test accuracies are, too.\n"
    )
