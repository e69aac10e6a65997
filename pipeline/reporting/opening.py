"""The opening of the report: targets reached, cost compared with the reference, certainty, data."""

from collections.abc import Sequence

from pipeline.markup import plain
from pipeline.params import Params
from pipeline.reporting import time_to_target
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.verdicts import Verdict, tally
from pipeline.results import Moment, Result
from pipeline.views import view
from pipeline.wording import counted, listed, number, prefixed, significant

LIKE_FOR_LIKE = "dvc exp run -S +profile=record"


def opening(
    params: Params,
    results: dict[str, Result],
    verdicts: Sequence[Verdict],
    reached: dict[str, ModelTargets],
) -> str:
    """A sentence on all targets, then one point for each model.

    reached: the targets by model, without models on other kinds of data.
    """
    lines = [_tally(verdicts), ""]
    for name, result in results.items():
        judged = [verdict for verdict in verdicts if verdict.model == name]
        if name in reached:
            text = " ".join(_model(result, judged, reached[name]))
        elif not result.data.get("own"):
            # Without a held-out part, its metrics are missing.
            label, value = next(
                (label, result.metrics[key])
                for key, label in view(result.task).rows.items()
                if key in result.metrics
            )
            text = f"no targets; {label} {number(value)}. Data: {plain(result.data['title'])}."
        else:
            text = f"no targets for these data: {plain(result.data['title'])}."
        lines.append(f"- **{title(result)}**: {text}")
    return "\n".join(lines) + "\n"


def _tally(verdicts: Sequence[Verdict]) -> str:
    met, comparable = tally(verdicts)
    others = [verdict for verdict in verdicts if not verdict.like_for_like]
    lines = [] if verdicts else ["**There are no targets for these data.**"]
    if comparable:
        lines.append(f"**{met} of {counted(comparable, 'target')} met, like for like.**")
    if others:
        met = sum(verdict.met for verdict in others)
        lines.append(
            f"{met} of {counted(len(others), 'target')} met in brackets: such a verdict does not "
            "count, because data, measurement or budget differ from the reference's."
        )
    if not comparable:
        lines.append(f"To train on the reference's own data, like for like: `{LIKE_FOR_LIKE}`.")
    return " ".join(lines)


def _model(result: Result, verdicts: Sequence[Verdict], reached: ModelTargets) -> list[str]:
    metrics = ", ".join(
        f"{verdict.target.name} {number(verdict.ours)}{margin(verdict)} "
        f"(target {number(verdict.target.value)}: {verdict.outcome})"
        for verdict in verdicts
    )
    return [
        metrics + ".",
        *_time(result, reached, all(verdict.like_for_like for verdict in verdicts)),
        *_certainty(result, verdicts),
        f"Data: {plain(result.data['title'])}.",
    ]


def _time(result: Result, reached: ModelTargets, comparable: bool) -> list[str]:
    """When all targets were reached at once; compared with the reference only if its data and
    measures are the same."""
    found = result.time_to_target[time_to_target.ALL]
    moment = time_to_target.median(found)
    single = len(reached.targets) == 1
    if moment is None:
        what = "the target" if single else "all targets at once"
        seeds = f"For at least half of the {len(found)} seeds, no" if len(found) > 1 else "No"
        return [f"{seeds} evaluation during training reaches {what}."]
    unit = result.metrics["unit"]
    what = "Target" if single else "All targets"
    text = f"{what} reached{'' if comparable else ' (in brackets)'} after {cost(moment, unit)}"
    if len(found) > 1:
        ranked = time_to_target.ranked(found)
        first, *_, last = (f"{each.units:,}" if each else "never" for each in ranked)
        text += f" (median of {len(found)} seeds; {first} to {last} {unit})"
    if not comparable:
        return [f"{text}."]
    units = times_fewer(reached.cost.units(unit), moment.units)
    flops = times_fewer(reached.cost.flops, moment.flops)
    return [
        f"{text}. Compared with the reference's whole training, that is {units} {unit} and {flops} "
        "floating-point operations."
    ]


def _certainty(result: Result, verdicts: Sequence[Verdict]) -> list[str]:
    count = len(result.trainings)
    if count == 1:
        return ["One seed: another may give another verdict."]
    undecided = [verdict.target.name for verdict in verdicts if verdict.outcome == "undecided"]
    if not undecided:
        sure = "each 95% confidence interval is on one side of its target"
    elif len(undecided) == 1:
        sure = f"the 95% confidence interval of the {undecided[0]} includes the target"
    else:
        sure = f"the 95% confidence intervals of {listed(undecided)} include their targets"
    return [f"{count} seeds; {sure}."]


def title(result: Result) -> str:
    """The title of a model."""
    return view(result.task).title(result.name)


def cost(moment: Moment, unit: str) -> str:
    """The cost up to a moment: '1,310,720 tokens, 15.8 TFLOP and 92 s of training'."""
    time = "" if moment.seconds is None else f" and {significant(moment.seconds)} s of training"
    joint = ", " if time else " and "
    return f"{moment.units:,} {unit}{joint}{prefixed(moment.flops)}FLOP{time}"


def times_fewer(theirs: float, ours: float) -> str:
    """Ours compared with theirs: '285 times fewer', or 'as many'."""
    ratio = significant(max(theirs / ours, ours / theirs))
    if ratio == "1":
        return "as many"
    return f"{ratio} times {'fewer' if ours < theirs else 'more'}"


def margin(verdict: Verdict) -> str:
    """Half the confidence interval; empty for one seed."""
    return f" ± {significant(verdict.margin, 2)}" if len(verdict.values) > 1 else ""
