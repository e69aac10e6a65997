"""Artificial results, for tests of the report and its pictures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.reporting.schema import Report
from pipeline.reporting.verdicts import Verdict
from pipeline.results import Result, Training

EVALUATED = {
    "bert": ["train_loss", "loss", "top1"],
    "gpt": ["train_loss", "loss", "accuracy"],
    "vit": [
        "closing_cross_entropy", "closing_accuracy", "loss", "accuracy", "batch_loss",
        "batch_accuracy",
    ],
    "g2p": ["loss"],
}  # fmt: skip
BASELINES = ("train_loss", "loss", "batch_loss", "train_accuracy", "batch_accuracy", "accuracy")


TASKS = {
    "bert": "masked_lm", "gpt": "causal_lm", "vit": "image_classification",
    "g2p": "grapheme_to_phoneme",
}  # fmt: skip
UNITS = {"vit": "images", "g2p": "words"}


def result(
    name: str,
    seeds: int = 1,
    evaluations: int = 4,
    without: tuple[str, ...] = (),
    classes: tuple[str, ...] = ("a", "b"),
    images: int = 30,
    own: bool = False,
) -> Result:
    """A result of 40 steps of 500 tokens, images or words each.

    evaluations: their number. without: missing metrics. classes, images: of a
        classifier's test split; every third prediction is wrong. own: a user's own data.
    """
    unit = UNITS.get(name, "tokens")
    trainings = []
    for seed in range(seeds):
        step = np.arange(1, 41)
        falling = (1 + 0.1 * seed) * 5 / step**0.3
        history = pd.DataFrame({"step": step, unit: 500 * step, "loss": falling})
        evaluated = history.iloc[40 // evaluations - 1 :: 40 // evaluations][["step", unit]]
        for index, key in enumerate(EVALUATED[name]):
            if key not in without:
                values = falling[evaluated["step"] - 1] * (1 + 0.01 * index)
                evaluated = evaluated.assign(**{key: values / (10 if "acc" in key else 1)})
        last = evaluated.iloc[-1].to_dict()
        metrics = {key: value for key, value in last.items() if key in EVALUATED[name]}
        metrics |= {f"baseline_{key}": 0.3 if "acc" in key else 6.5 for key in BASELINES}
        metrics |= {"unit": unit, unit: 20_000, "steps": 40, "flops": 10**12}
        metrics |= {"batch_size": 25, "epochs": 2.0, "parameters": 1_000, "flops_per_step": 10**9}
        metrics |= {"classes_predicted": 2, "best_loss": 1.0, "best_step": 40}
        trainings.append(Training(seed, metrics, None, history, evaluated))
    answers = samples = None
    if name == "vit":
        answers, samples = _answers(seeds, classes, images)
    if name == "g2p":
        samples = {"words": [{"word": "a", "said": ["AH0"], "listed": [["AH0"]]}]}
    data = {"note": None, "title": "a title", "licence": "none", "files": [], "own": own}
    data |= {"classes": list(classes), "words_left_out": 3}
    measures = {key: {"split": "a split"} for key in EVALUATED[name]}
    return Result(
        name, TASKS[name], data, measures, trainings, samples=samples or [], predictions=answers
    )


def report(results: dict[str, Result], verdicts: Sequence[Verdict]) -> Report:
    """A report on results of the default profile."""
    return Report(
        finished="2026-01-01 00:00 UTC",
        git_commit=None,
        machine={"cpu": "a processor", "cores": 1, "memory_gb": 8.0, "system": "Linux"},
        versions={},
        profile="default",
        changes=[],
        command=[],
        params={},
        models=results,
        verdicts=list(verdicts),
    )


def _answers(seeds: int, classes: tuple[str, ...], images: int) -> tuple[pd.DataFrame, dict]:
    rows = [
        {
            "seed": str(seed),
            "actual": classes[index % len(classes)],
            "predicted": classes[(index + (index % 3 == 0)) % len(classes)],
        }
        for seed in range(seeds)
        for index in range(images)
    ]
    answers = pd.DataFrame(rows)
    shown = list(range(min(16, images)))
    samples = {
        "images": shown,
        "actual": answers["actual"][shown].tolist(),
        "predicted": answers["predicted"][shown].tolist(),
        "probability": [0.5] * len(shown),
    }
    return answers, samples
