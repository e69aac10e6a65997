"""Writes reports/metrics.md, readable on GitHub and in a terminal."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.params import Params
from pipeline.reporting import models, time_to_target
from pipeline.reporting.markup import fenced, plain, table
from pipeline.reporting.opening import TITLES, cost, margin, opening, times_fewer
from pipeline.reporting.results import Result
from pipeline.reporting.targets import ModelTargets
from pipeline.reporting.verdicts import Verdict, one_class_only
from pipeline.wording import counted, number, prefixed, significant

REFERENCE = """\
**The reference** is a public write-up of a course's exercise: one transformer class, trained as
BERT, GPT and ViT. Its results are in `reports/targets.yaml`, its logged curves in
`reports/reference/`. Public code of the same exercise is
[piygr/s17erav1](https://github.com/piygr/s17erav1) on GitHub; the addresses of its data are in
`pipeline/data/registry.py`. Its texts are not included, because no licence permits that.
"""


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

    profile: the label of the parameters.
    pictures: by model, in the folder figures/ next to the report.
    environment: machine, versions, commit. command: shell lines that repeat the run.
    """
    sections = [
        "# One Transformer, trained as BERT, GPT and ViT\n",
        f"Profile **{plain(profile)}**, {_seeds(params)}, {environment['finished']}.\n",
        opening(params, results, verdicts, reached),
        REFERENCE,
        *([_verdict_table(verdicts), _time_table(results, reached, verdicts)] if verdicts else []),
        _reading(verdicts, results),
    ]
    for name, result in results.items():
        sections.append(models.section(result, pictures[name]))
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
                *([significant(verdict.deviation, 2)] if several else []),
                number(verdict.difference, "+"),
                verdict,
                number(verdict.baseline),
                "yes" if verdict.like_for_like else "no: " + "; ".join(verdict.differences),
            ]
        )
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
    rows = []
    for name, of_model in reached.items():
        result, theirs = results[name], of_model.cost
        unit = result.figures["unit"]
        for target in of_model.targets:
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
                            ("at most " if moment.at_most else "") + cost(moment, unit),
                            *(
                                (
                                    times_fewer(theirs.units, moment.units),
                                    times_fewer(theirs.flops, moment.flops),
                                )
                                if counts[name, target.name]
                                else ("", "")
                            ),
                        )
                        if moment
                        else ("never", "", "", "")
                    ),
                ]
            )
    header = ["model", "time to target", "reached by", "step", "after"]
    header += ["tokens or images", "operations"]
    explanation = (
        "The first evaluation that reaches the target, measured like the target; for several seeds "
        "the median, where a seed that never reaches it counts as the latest. 'At most': it is "
        "reached at the first evaluation of all. For verdicts "
        "without brackets, tokens, images and operations are compared with those of the "
        "reference's whole training: "
        + "; ".join(
            f"{TITLES[name]} {each.cost.steps:,} steps, {each.cost.units:,} "
            f"{results[name].figures['unit']}, {prefixed(each.cost.flops)}FLOP{each.cost.remark}"
            for name, each in reached.items()
        )
    )
    return table(header, rows, "lllrrrr") + f"\n{explanation}.\n"


def _reading(verdicts: list[Verdict], results: dict[str, Result]) -> str:
    """How to read the table: what each row compares, and what can mislead."""
    lines = [
        f"- {TITLES[verdict.model]} {verdict.target.name}: the reference: "
        f"{verdict.target.measured}; ours: {verdict.target.how}."
        for verdict in verdicts
    ]
    gpt, vit = results["gpt"].figures, results["vit"].figures
    count = len(results["gpt"].trainings)
    if not verdicts:
        pass
    elif count == 1:
        lines.append(
            "- Each verdict is based on one run. `dvc exp run -S 'seeds=[0,1,2]'` measures the "
            "variation between seeds."
        )
    else:
        lines.append(
            f"- Ours is the mean over {count} seeds, ± its 95% confidence interval (Student's t). "
            "A target is met, or not met, if the whole interval is on one side of it; otherwise "
            "the verdict is undecided."
        )
    lines.append("- The trivial baseline knows only the frequencies of words or classes.")
    lines.append(
        "- A small GPT training loss with a validation loss near the baseline is memorisation. Our "
        f"lowest validation loss was {number(gpt['best_loss'])}, at step {gpt['best_step']:,.0f} "
        f"of {gpt['steps']:,}."
    )
    if any(verdict.model == "vit" for verdict in verdicts):
        lines.append(
            "- The reference's ViT learnt nothing: its test accuracies 0.5417, 0.2604 and 0.1979 "
            "are those of 'always sushi', 'always pizza' and 'always steak' as means over batches "
            "of 32, 32 and 11 test images; per image, 'always sushi' is right for 31 of 75, "
            "0.4133. We compare the target with the same mean over batches. Per image, our "
            f"accuracy is {number(vit['accuracy'])}, and that of the most frequent class is "
            f"{number(vit['baseline_accuracy'])}."
        )
    for seed in one_class_only(results["vit"]):
        lines.append(
            f"- **Warning: our ViT with seed {seed} predicts the same class for every test image. "
            "It has learnt nothing, whatever the verdicts say.**"
        )
    return "\n".join(lines) + "\n"


def _seeds(params: Params) -> str:
    seeds = ", ".join(map(str, params.seeds))
    return f"seed {seeds}" if len(params.seeds) == 1 else f"seeds {seeds}"


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
    cores = counted(machine["cores"], "core")
    rows = [
        ("processor", f"{machine['cpu']}, {cores}, {machine['memory_gb']} GB"),
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
