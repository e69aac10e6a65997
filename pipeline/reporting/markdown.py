"""Writes reports/metrics.md, readable on GitHub and in a terminal."""

import io
from collections.abc import Iterable

from ruamel.yaml import YAML

from pipeline.markup import fenced, plain, table
from pipeline.params import Params
from pipeline.reporting import models, time_to_target
from pipeline.reporting.opening import cost, margin, opening, times_fewer, title
from pipeline.reporting.schema import Report
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.verdicts import Verdict
from pipeline.results import Result
from pipeline.views import view
from pipeline.wording import counted, listed, number, prefixed, significant

REFERENCE = """\
**The reference** is a public write-up of a course's exercise: one transformer class, trained as
BERT, GPT and ViT. Its results are in `reports/targets.yaml`, its logged curves in
`reports/reference/`. Public code of the same exercise is
[piygr/s17erav1](https://github.com/piygr/s17erav1) on GitHub; the addresses of its data are in
`pipeline/data/registry.py`. Its texts are not included, because no licence permits that.
"""


def render(report: Report, params: Params, profile: str, reached: dict[str, ModelTargets]) -> str:
    """The whole report. profile: the label of the parameters."""
    results, verdicts = report.models, report.verdicts
    sections = [
        f"# One Transformer, trained as {listed(list(map(title, results.values())))}\n",
        f"Profile **{plain(profile)}**, {_seeds(params)}, {report.finished}.\n",
        opening(params, results, verdicts, reached),
        REFERENCE,
    ]
    if verdicts:
        sections += [_verdict_table(verdicts, results), _time_table(results, reached, verdicts)]
    sections += [
        _reading(verdicts, results),
        *(models.section(result) for result in results.values()),
        "## Data\n",
        _data(results.values()),
        "## Parameters\n",
        fenced(_yaml(params), "yaml"),
        "## Machine and versions\n",
        _environment(report),
        "## To repeat this run\n",
        fenced("\n".join(report.command), "sh"),
    ]
    return "\n".join(sections)


def _verdict_table(verdicts: list[Verdict], results: dict[str, Result]) -> str:
    several = len(verdicts[0].values) > 1
    rows = [
        [
            title(results[verdict.model]),
            verdict.target.name,
            number(verdict.target.value),
            number(verdict.ours) + margin(verdict),
            *([] if verdict.deviation is None else [significant(verdict.deviation, 2)]),
            number(verdict.difference, "+"),
            verdict,
            number(verdict.baseline),
            "yes" if verdict.like_for_like else "no: " + "; ".join(verdict.differences),
        ]
        for verdict in verdicts
    ]
    spread = ["standard deviation"] if several else []
    header = ["model", "measure", "target", "ours", *spread, "difference", "verdict"]
    align = "llrr" + "r" * several + "rlrl"
    return table([*header, "trivial baseline", "like for like"], rows, align)


def _time_table(
    results: dict[str, Result], reached: dict[str, ModelTargets], verdicts: list[Verdict]
) -> str:
    """When each target was first reached, and for verdicts that count, how that compares with the
    reference's training."""
    counts = {(each.model, each.target.name): each.like_for_like for each in verdicts}
    units = list(dict.fromkeys(results[name].metrics["unit"] for name in reached))
    rows = []
    for name, of_model in reached.items():
        result, theirs = results[name], of_model.cost
        unit = result.metrics["unit"]
        for target in of_model.targets:
            found = result.time_to_target[target.ours]
            moment = time_to_target.median(found)
            seen = sum(each is not None for each in found)
            cells = ["never", "", "", ""]
            if moment:
                cells[0] = f"{moment.step:,}"
                cells[1] = ("at most " if moment.at_most else "") + cost(moment, unit)
                if counts[name, target.name]:
                    cells[2] = times_fewer(theirs.units(unit), moment.units)
                    cells[3] = times_fewer(theirs.flops, moment.flops)
            seeds = f"{seen} of {counted(len(found), 'seed')}"
            rows.append([title(result), target.name, seeds, *cells])
    header = ["model", "time to target", "reached by", "step", "after"]
    header += [listed(units, "or"), "operations"]
    explanation = (
        "The first evaluation that reaches the target, measured like the target; for several seeds "
        "the median, where a seed that never reaches it counts as the latest. 'At most': it is "
        "reached at the first evaluation of all. For verdicts "
        f"without brackets, {listed([*units, 'operations'])} are compared with those of the "
        "reference's whole training: "
        + "; ".join(
            f"{title(results[name])} {each.cost.steps:,} steps, "
            f"{each.cost.units(unit := results[name].metrics['unit']):,} {unit}, "
            f"{prefixed(each.cost.flops)}FLOP" + (f" ({each.cost.note})" if each.cost.note else "")
            for name, each in reached.items()
        )
    )
    return table(header, rows, "lllrrrr") + f"\n{explanation}.\n"


def _reading(verdicts: list[Verdict], results: dict[str, Result]) -> str:
    """How to read the table: what each row compares, and what can mislead."""
    lines = [
        f"- {title(results[verdict.model])} {verdict.target.name}: the reference: "
        f"{verdict.target.measured}; ours: {verdict.target.how}."
        for verdict in verdicts
    ]
    count = len(next(iter(results.values())).trainings)
    if verdicts and count == 1:
        lines.append(
            "- Each verdict is based on one run. `dvc exp run -S 'seeds=[0,1,2]'` measures the "
            "variation between seeds."
        )
    elif verdicts:
        lines.append(
            f"- Ours is the mean over {count} seeds, ± its 95% confidence interval (Student's t). "
            "A target is met, or not met, if the whole interval is on one side of it; otherwise "
            "the verdict is undecided."
        )
    known = list(dict.fromkeys(view(result.task).known for result in results.values()))
    lines.append(
        f"- The trivial baseline knows only {listed(known, 'or')} frequencies, unless the model's "
        "table names another."
    )
    judged = {verdict.model for verdict in verdicts}
    for name, result in results.items():
        lines += [f"- {note}" for note in view(result.task).notes(result, name in judged)]
    return "\n".join(lines) + "\n"


def _seeds(params: Params) -> str:
    seeds = ", ".join(map(str, params.seeds))
    return f"seed {seeds}" if len(params.seeds) == 1 else f"seeds {seeds}"


def _data(results: Iterable[Result]) -> str:
    rows = [
        (
            title(result),
            result.data["title"],
            result.data["licence"],
            file["name"],
            file["sha256"],
        )
        for result in results
        for file in result.data["files"]
    ]
    return table(["model", "data", "licence", "file", "SHA-256"], rows)


def _environment(report: Report) -> str:
    machine = report.machine
    cores = counted(machine["cores"], "core")
    rows = [
        ("processor", f"{machine['cpu']}, {cores}, {machine['memory_gb']} GB"),
        ("system", machine["system"]),
        ("git commit", report.git_commit or "none"),
        *report.versions.items(),
    ]
    return table(["", ""], rows)


def _yaml(params: Params) -> str:
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(params.content(), stream)
    return stream.getvalue().strip()
