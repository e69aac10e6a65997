"""How the report opens: what was reached, how much sooner than the reference, how sure, on what."""

from collections.abc import Sequence

from pipeline.params import Params
from pipeline.reporting import time_to_target
from pipeline.reporting.markup import number, plain, prefixed
from pipeline.reporting.results import Result
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.time_to_target import Moment
from pipeline.reporting.verdicts import Verdict, tally

TITLES = {"bert": "BERT", "gpt": "GPT", "vit": "ViT"}
LIKE_FOR_LIKE = "dvc exp run -S +profile=record"


def opening(
    params: Params,
    results: dict[str, Result],
    verdicts: Sequence[Verdict],
    reached: dict[str, ModelTargets],
) -> str:
    """A sentence on all targets, then one point for each model."""
    lines = [_tally(verdicts), ""]
    for name, result in results.items():
        judged = [verdict for verdict in verdicts if verdict.model == name]
        lines.append(f"- **{TITLES[name]}**: " + " ".join(_model(result, judged, reached[name])))
    return "\n".join(lines) + "\n"


def _tally(verdicts: Sequence[Verdict]) -> str:
    met, comparable = tally(verdicts)
    others = [verdict for verdict in verdicts if not verdict.like_for_like]
    said = []
    if comparable:
        said.append(f"**{met} of {counted(comparable, 'target')} met, like for like.**")
    if others:
        met = sum(verdict.met for verdict in others)
        said.append(
            f"{met} of {counted(len(others), 'target')} met in brackets: on other data than the "
            "reference's, or measured in another way, so that the verdict does not count."
        )
    if not comparable:
        said.append(
            f"For verdicts that count, on the reference's own data: `{LIKE_FOR_LIKE}`."
        )
    return " ".join(said)


def _model(result: Result, verdicts: Sequence[Verdict], reached: ModelTargets) -> list[str]:
    figures = ", ".join(
        f"{verdict.target.name} {number(verdict.ours)}{margin(verdict)} "
        f"(target {number(verdict.target.value)}: {verdict.outcome})"
        for verdict in verdicts
    )
    return [
        figures + ".",
        *_time(result, reached),
        *_certainty(result, verdicts),
        f"Data: {plain(result.data['title'])}.",
    ]


def _time(result: Result, reached: ModelTargets) -> list[str]:
    """When the targets were reached, all of them at once."""
    found = time_to_target.moments(result, reached.targets)
    moment = time_to_target.median(found)
    what = "It was" if len(reached.targets) == 1 else "All were"
    if moment is None:
        several = f" by half of the {len(found)} seeds" if len(found) > 1 else ""
        return [f"{what} at no evaluation reached{' at once' * (what == 'All were')}{several}."]
    unit = result.figures["unit"]
    said = f"{what} reached after {cost(moment, unit)}"
    if len(found) > 1:
        first, last = time_to_target.span(found)
        end = f"{last.units:,}" if last else "never"
        said += f" (median of {len(found)} seeds; {first.units:,} to {end} {unit})"
    units, flops = (
        times_fewer(theirs, ours)
        for theirs, ours in (
            (reached.cost.units, moment.units),
            (reached.cost.flops, moment.flops),
        )
    )
    return [
        f"{said}: {units} {unit} and {flops} floating-point operations than the reference's whole "
        "training."
    ]


def _certainty(result: Result, verdicts: Sequence[Verdict]) -> list[str]:
    count = len(result.trainings)
    if count == 1:
        return ["One seed: another may decide otherwise."]
    undecided = [verdict.target.name for verdict in verdicts if verdict.outcome == "undecided"]
    sure = (
        f"the 95% confidence interval of {', '.join(undecided)} includes the target"
        if undecided
        else "every 95% confidence interval is on one side of its target"
    )
    return [f"{count} seeds; {sure}."]


def cost(moment: Moment, unit: str) -> str:
    """What it took to get there: '1,310,720 tokens, 15.8 TFLOP and 92 s of training'."""
    time = "" if moment.seconds is None else f" and {moment.seconds:,.0f} s of training"
    joint = ", " if time else " and "
    return f"{moment.units:,} {unit}{joint}{prefixed(moment.flops)}FLOP{time}"


def times_fewer(theirs: float, ours: float) -> str:
    """How much less ours is: '285 times fewer'."""
    if ours <= theirs:
        return f"{theirs / ours:,.3g} times fewer"
    return f"{ours / theirs:,.3g} times more"


def margin(verdict: Verdict) -> str:
    """Half the confidence interval, where there are several seeds."""
    return f" ± {verdict.margin:.4f}" if len(verdict.values) > 1 else ""


def counted(count: int, noun: str) -> str:
    """'1 target', '2 targets'."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
