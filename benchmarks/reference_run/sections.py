"""The sections of the page: words and tables computed from what is collected."""

import statistics
from collections.abc import Sequence

import pandas as pd
from scipy import stats

from benchmarks.reference_run.findings import (
    CLOSING,
    LOGGED,
    Collected,
    constant_epochs,
    masked,
    prediction_interval,
    reproduced,
    target,
)
from benchmarks.reference_run.pictures import FIRST_DELTA_W, FIRST_LOSS
from pipeline.markup import table
from pipeline.reporting import targets
from pipeline.wording import counted, listed, number

MASKS = {"causal": "with the causal mask", "none": "without a mask"}
TEXTS = {"ten batches": "ten random batches", "whole": "the whole text"}


def bert_finding(run: Collected) -> str:
    """BERT's result in two sentences."""
    ours = [run.of(seed)["loss"].tail(LOGGED) for seed in run.seeds]
    theirs = targets.curve("bert")["loss"]
    mean, batch = statistics.fmean(each.mean() for each in ours), theirs.std()
    difference = mean - theirs.mean()
    size = "less" if abs(difference) < batch else "more"
    delta_w = pd.concat([run.of(seed)["delta_w"].tail(LOGGED) for seed in run.seeds])
    their_delta_w = targets.curve("bert")["delta_w"]
    return (
        f"- **BERT ends at {number(mean)}, the reference at {number(theirs.mean())}** (means of "
        f"the last {LOGGED} logged losses). The difference, {number(difference, '+')}, is {size} "
        f"than the standard deviation of one batch, {number(batch)}. Their Δw: ours "
        f"{delta_w.min():.2f} to {delta_w.max():.2f}, the reference's {their_delta_w.min():.2f} to "
        f"{their_delta_w.max():.2f}."
    )


def gpt_finding(run: Collected) -> str:
    """Which of GPT's two losses is reproduced, with and without the causal mask."""
    pair = {"train_loss": "training loss", "loss": "validation loss"}
    if len(run.seeds) == 1:
        verdict = "One seed cannot tell whether GPT's pair is reproduced"
    else:
        parts = []
        for mask in MASKS:
            hits = [
                name
                for metric, name in pair.items()
                if reproduced(target("gpt", name), masked(run, mask, "ten batches", metric))
            ]
            which = {0: "neither loss", 1: f"only the {hits[0]}" if hits else "", 2: "both losses"}
            parts.append(which[len(hits)])
        with_mask, without = MASKS.values()
        verdict = (
            f"GPT reproduces {parts[0]}, {with_mask} and without it"
            if parts[0] == parts[1]
            else f"GPT reproduces {with_mask} {parts[0]}, {without} {parts[1]}"
        )
    metrics = [
        f"{words} "
        + " and ".join(spread(masked(run, mask, "ten batches", metric)) for metric in pair)
        for mask, words in MASKS.items()
    ]
    theirs = " and ".join(number(target("gpt", name)) for name in pair.values())
    return (
        f"- **{verdict}.** The reference has {theirs} (training, validation); ours, on ten random "
        f"batches as there: {'; '.join(metrics)}."
    )


def vit_finding(run: Collected) -> str:
    """How many ViTs are constant predictors."""
    constant = sum(len(training["classes"]) == 1 for training in run.trainings)
    accuracy = run.metrics("batch_accuracy")
    return (
        f"- **{constant} of {counted(len(run.seeds), 'ViT')} "
        f"{'is a constant predictor' if constant == 1 else 'are constant predictors'}**, as the "
        "reference's is: one class for all 75 test photographs. Their test accuracies, as the "
        f"reference's mean over batches, are {', '.join(map(number, accuracy))}; the reference's "
        f"is {number(target('vit', 'test accuracy'))}."
    )


def bert(run: Collected) -> str:
    """Ends and beginnings of the curves."""
    theirs = targets.curve("bert")
    columns = [run.of(seed).tail(LOGGED) for seed in run.seeds]
    goal = target("bert", "loss")
    rows = [
        (what, *(compute(each) for each in (*columns, theirs)))
        for what, compute in (
            (f"loss, mean of {LOGGED}", lambda c: number(c["loss"].mean())),
            ("loss, standard deviation", lambda c: number(c["loss"].std())),
            (
                f"loss, mean of the last {CLOSING}",
                lambda c: number(c["loss"].tail(CLOSING).mean()),
            ),
            ("loss, last", lambda c: f"{c['loss'].iloc[-1]:.2f}"),
            (
                f"of {LOGGED} losses, at most {goal}",
                lambda c: str((c["loss"].round(2) <= goal).sum()),
            ),
            ("Δw, mean", lambda c: f"{c['delta_w'].mean():.2f}"),
            ("Δw, lowest to highest", lambda c: span(c["delta_w"], 2)),
        )
    ]
    header = (f"last {LOGGED} logged iterations", *_named(run), "the reference")
    beginnings = []
    for column, what, (low, high) in (
        ("loss", "loss", FIRST_LOSS),
        ("delta_w", "Δw", FIRST_DELTA_W),
    ):
        first = [run.of(seed)[column].iloc[0] for seed in run.seeds]
        inside = sum(low <= value <= high for value in first)
        beginnings.append(
            f"{what} {', '.join(f'{value:.2f}' for value in first)} (four public logs: {low:.2f} "
            f"to {high:.2f}; inside: {inside} of {len(first)})"
        )
    fixed = ", ".join(number(value) for value in run.metrics("train_loss"))
    return (
        table(header, rows, "l" + "r" * (len(run.seeds) + 1))
        + f"\nOne logged loss is that of one batch, about 3,000 masked words. At iteration 0: "
        f"{'; '.join(beginnings)}. On 8,192 training sequences that are always the same, with "
        f"dropout as in training, our final loss is {fixed}.\n"
    )


def gpt(run: Collected) -> str:
    """Both losses with and without mask, and the curves."""
    rows = []
    for text, where in TEXTS.items():
        for mask, words in MASKS.items():
            cells = []
            for metric in ("train_loss", "loss"):
                values = masked(run, mask, text, metric)
                cells += [spread(values), span(values, 4), _interval(values)]
            rows.append((f"{where}, {words}", *cells))
    pair = [number(target("gpt", f"{split} loss")) for split in ("training", "validation")]
    rows.append(("the reference: ten random batches", pair[0], "", "", pair[1], "", ""))
    header = ["", *(f"{split}: {what}" for split in ("training", "validation")
                    for what in ("mean", "range", "another seed"))]  # fmt: skip
    theirs = targets.curve("gpt")["loss"]
    last = run.curve[run.curve["iteration"] > run.curve["iteration"].max() - LOGGED]
    by_seed = last.groupby("seed")["loss"]
    closing = by_seed.apply(lambda losses: losses.tail(CLOSING).mean())
    best = run.evaluations.loc[run.evaluations.groupby("seed")["loss"].idxmin()]
    steps = ", ".join(str(step) for step in sorted(set(best["step"])))
    return (
        table(header, rows, "l" + "r" * 6)
        + "\n± is the 95% confidence interval of the mean over seeds. "
        "'Another seed' is the 95% prediction interval (Student's t): where a run with "
        "another seed is expected. Dropout is off. The public code of the exercise leaves out the "
        "causal mask when it evaluates, so that each token also sees the one that it should "
        "predict; but the model has never been trained to use it.\n\n"
        f"The losses of training batches (dropout on) average {spread(list(by_seed.mean()))} over "
        f"the last {LOGGED} steps and {spread(list(closing))} over the last {CLOSING}; the "
        f"reference's {number(theirs.mean())} and {number(theirs.tail(CLOSING).mean())}. Our "
        f"lowest validation loss is {spread(list(best['loss']))}, after step {steps}: from there "
        "on the model memorises the training text.\n"
    )


def vit(run: Collected) -> str:
    """Each seed's final metrics, and whether it predicts one class only."""
    theirs, rows = targets.curve("vit"), []
    for training in run.trainings:
        curve, metrics = run.of(training["seed"]), training["metrics"]
        epochs = constant_epochs(curve["test_accuracy"], training["always"])
        rows.append(
            (
                f"seed {training['seed']}",
                *(number(curve[column].iloc[-1]) for column in theirs.columns[2:]),
                number(metrics["accuracy"]),
                ", ".join(f"{name} {count}" for name, count in training["classes"].items()),
                f"{training['probability_range']:.1g}",
                f"{epochs} of {len(curve)}",
            )
        )
    always = run.trainings[0]["always"]
    rows.append(
        (
            "the reference",
            *(number(theirs[column].iloc[-1]) for column in theirs.columns[2:]),
            "", "", "",
            f"{constant_epochs(theirs['test_accuracy'], always)} of {len(theirs)} logged",
        )
    )  # fmt: skip
    header = ("", "training loss", "training accuracy", "test loss", "test accuracy",
              "per image", "predicted", "range", "epochs like one class")  # fmt: skip
    names = listed([f"{number(value)} ('always {name}')" for name, value in always.items()])
    return (
        table(header, rows, "lrrrrrlrr")
        + "\nLoss and accuracies as the reference logs them, means over batches of 32; 'per image' "
        "is the usual accuracy. 'Range' is the largest difference of a predicted probability "
        "between two test photographs: near 0, the prediction does not depend on the photograph. "
        f"'Epochs like one class' have a test accuracy of {names}.\n"
    )


def spread(values: Sequence[float]) -> str:
    """Mean, and its 95% confidence interval over seeds (Student's t)."""
    mean, count = number(statistics.fmean(values)), len(values)
    if count == 1:
        return mean
    width = stats.t.ppf(0.975, count - 1) * statistics.stdev(values) / count**0.5
    return f"{mean} ± {number(float(width))}"


def span(values: Sequence[float], decimals: int) -> str:
    """The lowest and the highest value."""
    return f"{min(values):.{decimals}f} to {max(values):.{decimals}f}"


def _interval(values: Sequence[float]) -> str:
    interval = prediction_interval(values)
    return span(interval, 4) if interval else ""


def _named(run: Collected) -> list[str]:
    return ["ours"] if len(run.seeds) == 1 else [f"ours, seed {seed}" for seed in run.seeds]
