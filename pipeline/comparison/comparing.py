"""Compares experiments: a row for each metric and experiment, with a plain word."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.comparison import differences
from pipeline.comparison.costs import Cost, cost, pareto_front
from pipeline.comparison.experiments import Experiment
from pipeline.comparison.statistics import CONFIDENCE, Difference, difference, holm, seeds_needed
from pipeline.errors import UserError
from pipeline.reporting import targets
from pipeline.reporting.targets import ModelTargets
from pipeline.results import Result
from pipeline.wording import listed

LOWER, HIGHER = "lower", "higher"
# Which is better, for metrics without a target: reports/targets.yaml says it of the others.
DIRECTIONS = {"accuracy": HIGHER, "per": LOWER, "perplexity": LOWER, "top1": HIGHER, "wer": LOWER}

BETTER, WORSE, UNSEEN = "better", "worse", "no difference seen"
SAME = "the same weights"
BOTH_ALONE, ONE_ALONE = "one run each: cannot be told", "one run: cannot be told"
CONSTANT = "no deviation: cannot be told"


class UnclearError(UserError):
    """Whether a metric has become worse cannot be told."""

    exit_code = 2


@dataclass(frozen=True)
class Row:
    """One metric of one experiment.

    better: whether lower or higher is. values: by seed. flops: of a training.
    unlike: why it is not comparable with the first experiment's.
    seen: the difference from the first experiment, if it can be told. p: of that difference, for
        all comparisons together (Holm). seeds_needed: to tell a difference as large as the one
        seen; None if that takes too many.
    word: what the difference means; empty for the first experiment.
    on_front: whether no comparable experiment is better at the same or a lower cost.
    """

    model: str
    metric: str
    experiment: str
    better: str
    values: dict[int, float]
    flops: int
    unlike: list[str] = field(default_factory=list)
    seen: Difference | None = None
    p: float | None = None
    seeds_needed: int | None = None
    word: str = ""
    on_front: bool = False

    @property
    def name(self) -> str:
        """The name of the metric, as in `dvc exp show`."""
        return f"{self.model}.{self.metric}"

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds; None for one seed."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def verdict(self) -> str:
        """The word, in brackets if the comparison is not like for like."""
        return f"({self.word})" if self.unlike else self.word

    @property
    def loss(self) -> float:
        """The mean, with its sign changed if higher is better."""
        return self.mean if self.better == LOWER else -self.mean


@dataclass(frozen=True)
class Comparison:
    """All rows, and what stands beside them.

    experiments: the others are compared with the first. costs: by model and experiment.
    parameters, data, environments, code: what differs, see `differences`.
    """

    experiments: list[Experiment]
    rows: list[Row]
    costs: dict[str, dict[str, Cost]]
    parameters: dict[str, list[Any]]
    data: dict[str, list[Any]]
    environments: dict[str, list[Any]]
    code: list[list[str]]

    @property
    def tested(self) -> int:
        """The number of differences that were tested at once."""
        return sum(row.p is not None for row in self.rows)

    @property
    def unchanged(self) -> list[str]:
        """The models with the same weights in all experiments."""
        words: dict[str, set[str]] = {}
        for row in self.rows:
            words.setdefault(row.model, set()).add(row.word)
        return [model for model, found in words.items() if found == {"", SAME}]

    def by_metric(self) -> dict[str, list[Row]]:
        """The rows by metric."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.name, []).append(row)
        return found


def compare(experiments: list[Experiment], model: str | None = None) -> Comparison:
    """Compare all metrics of the models that the first experiment and another have, or of one
    `model`.

    Raises:
        UserError: there is no such model, or it is not known whether lower or higher is better.
    """
    first, *others = experiments
    common = [name for name in first.models if any(name in each.models for each in others)]
    if not common or (model and model not in common):
        what = f"model {model!r}" if model else "model"
        which = listed(common) or "none"
        raise UserError(f"no {what} of {first.name} to compare; in common with others: {which}")
    names, known = [model] if model else common, targets.load()
    having = {name: [each for each in experiments if name in each.models] for name in names}
    rows = [
        row
        for name in names
        for metric in first.headline[name]
        for row in _front(_rows(having[name], name, metric, known))
    ]
    return Comparison(
        experiments,
        _judge(rows),
        {name: {each.name: cost(each.models[name]) for each in having[name]} for name in names},
        differences.parameters(experiments, names),
        differences.data(experiments, names),
        differences.environments(experiments),
        differences.code(experiments),
    )


def worse(comparison: Comparison, metrics: Sequence[str]) -> list[Row]:
    """The rows of these metrics that are worse than in the first experiment.

    Raises:
        UnclearError: none is known to be worse, and a metric is unknown, an experiment lacks one,
            or it cannot be told whether it is worse.
    """
    known = comparison.by_metric()
    if unknown := [each for each in metrics if each not in known]:
        raise UnclearError(f"no metric {listed(unknown)}; known: {listed([*known])}")
    first = comparison.experiments[0].name
    rows = [row for metric in metrics for row in known[metric] if row.word]
    if found := [row for row in rows if row.word == WORSE and not row.unlike]:
        return found
    for metric in metrics:
        have = {row.experiment for row in known[metric]}
        if without := [e.name for e in comparison.experiments if e.name not in have]:
            raise UnclearError(f"no {metric} of {listed(without)}")
    for row in rows:
        place = f"{row.name} of {row.experiment} and {first}"
        if row.unlike:
            raise UnclearError(f"{place}: not comparable: {'; '.join(row.unlike)}")
        if row.word in (BOTH_ALONE, ONE_ALONE, CONSTANT):
            raise UnclearError(
                f"{place}: {row.word}; train both with several seeds, such as "
                "`dvc exp run -S 'seeds=[0,1,2,3,4]'`"
            )
    return []


def _rows(
    experiments: Sequence[Experiment], model: str, metric: str, known: dict[str, ModelTargets]
) -> Iterator[Row]:
    """The metric of each experiment that has it, with the difference from the first."""
    of_targets = {target.ours: target.better for each in known.values() for target in each.targets}
    better = (DIRECTIONS | of_targets).get(metric)
    if better is None:
        raise UserError(
            f"{model}.{metric}: whether lower or higher is better is not known: add it to "
            "DIRECTIONS in pipeline/comparison/comparing.py"
        )
    first = experiments[0]
    before = _by_seed(first.models[model], metric)
    for each in experiments:
        if metric not in each.headline[model]:
            continue
        result = each.models[model]
        values = _by_seed(result, metric)
        row = Row(model, metric, each.name, better, values, result.metrics["flops"])
        if each is first:
            yield row
            continue
        same = (before, _by_seed(first.models[model], "weights_sha256")) == (
            values, _by_seed(result, "weights_sha256"),
        )  # fmt: skip
        seen = None if same else difference(before, values)
        word = SAME if same else _untold(before, values)
        unlike = differences.unlike(first, each, model, metric, known)
        yield replace(row, unlike=unlike, seen=seen, word=word)


def _untold(before: dict[int, float], values: dict[int, float]) -> str:
    """Why a difference cannot be told, if it cannot."""
    if len(before) == len(values) == 1:
        return BOTH_ALONE
    return ONE_ALONE if 1 in (len(before), len(values)) else CONSTANT


def _by_seed(result: Result, metric: str) -> dict[int, Any]:
    return {training.seed: training.metrics[metric] for training in result.trainings}


def _front(rows: Iterator[Row]) -> list[Row]:
    """The rows of one metric; marks those on the front of quality against compute."""
    found = list(rows)
    comparable = [row for row in found if not row.unlike]
    marks = iter(pareto_front([(row.flops, row.loss) for row in comparable]))
    return [replace(row, on_front=not row.unlike and next(marks)) for row in found]


def _judge(rows: list[Row]) -> list[Row]:
    """The rows with words for all differences, which are tested together."""
    p_values = [row.seen.p for row in rows if row.seen]
    adjusted = iter(holm(p_values))
    judged = []
    for row in rows:
        if row.seen:
            p, needed = next(adjusted), None
            if p >= 1 - CONFIDENCE:
                word, needed = UNSEEN, seeds_needed(row.seen, len(p_values))
            else:
                word = BETTER if (row.seen.value < 0) == (row.better == LOWER) else WORSE
            row = replace(row, p=p, seeds_needed=needed, word=word)
        judged.append(row)
    return judged
