"""The comparison as tables and sentences, for a terminal and for Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import deciding
from pipeline.comparison.comparing import SAME, UNSEEN, Comparison, Row
from pipeline.comparison.costs import Cost
from pipeline.comparison.statistics import MOST
from pipeline.markup import plain, table
from pipeline.wording import WIDTH, counted, listed, number, prefixed, significant, wrapped

FRONT = "* "  # before the name of an experiment on the front
NAMED = 3  # most experiments in a title; otherwise it has their number
NARROW = 8  # least width of a shortened name


@dataclass(frozen=True)
class Table:
    """A table whose first column names experiments. Columns with a header have numbers."""

    title: str
    header: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """For a terminal; without empty columns, and with shorter names if the lines are long."""
        columns = [
            column
            for column in zip(self.header, *self.rows, strict=True)
            if not column[0] or any(column[1:])
        ]
        widths = [max(map(len, column)) for column in columns]
        room = WIDTH - sum(width + 2 for width in widths[1:])
        widths[0] = min(widths[0], max(room, NARROW))
        columns[0] = tuple(_short(name, widths[0]) for name in columns[0])
        shown = [self.title]
        for line in zip(*columns, strict=True):
            cells = (
                f"{cell:>{width}}" if column[0] else f"{cell:<{width}}"
                for cell, width, column in zip(line, widths, columns, strict=True)
            )
            shown.append("  ".join(cells).rstrip())
        return "\n".join(shown) + "\n"

    def markdown(self) -> str:
        """For GitHub."""
        align = "".join("r" if title else "l" for title in self.header)
        return f"**{plain(self.title)}**\n\n" + table(self.header, self.rows, align)


def metrics(comparison: Comparison) -> list[Table]:
    """A table for each metric, without models whose weights are the same in all experiments."""
    header = ["", "mean", "std", "seeds", "difference", ""]
    return [
        Table(
            f"{metric}: {rows[0].better} is better",
            header,
            [
                [
                    (FRONT if row.on_front else " " * len(FRONT)) + row.experiment,
                    number(row.mean),
                    "" if row.deviation is None else significant(row.deviation, 2),
                    _seeds(row),
                    _difference(row, rows[0]),
                    row.verdict,
                ]
                for row in rows
            ],
        )
        for metric, rows in comparison.by_metric().items()
        if rows[0].model not in comparison.unchanged
    ]


def costs(comparison: Comparison) -> list[Table]:
    """The cost of a training, for each model."""
    return [
        Table(
            f"{model}: cost of a training",
            ["", "FLOP", next(iter(of_model.values())).unit, "seconds", "all targets after"],
            [[f"{' ' * len(FRONT)}{name}", *_cost(each)] for name, each in of_model.items()],
        )
        for model, of_model in comparison.costs.items()
        if model not in comparison.unchanged
    ]


def what_differs(comparison: Comparison) -> list[str]:
    """A sentence for each experiment but the first: parameters, data, versions, code."""
    lines = []
    decisive = {path.relative_to(deciding.ROOT) for path in deciding.code()}
    for index, each in enumerate(comparison.experiments[1:], 1):
        different = {**comparison.parameters, **comparison.data, **comparison.environments}
        parts = [
            f"{key}={values[index]}, not {values[0]}"
            for key, values in different.items()
            if values[index] != values[0]
        ]
        if files := comparison.code[index]:
            trained = [file for file in files if decisive & {*Path(file).parents}]
            parts.append(
                f"{counted(len(files), 'file')} of code"
                + (f", of which these decide the weights: {', '.join(trained)}" if trained else "")
            )
        lines.append(f"{each.name}: {'; '.join(parts) or 'nothing'}.")
    return lines


def notes(comparison: Comparison) -> Iterator[str]:
    """How to read the tables, and what they leave out."""
    (first, *others), rows = comparison.experiments, comparison.rows
    if tested := comparison.tested:
        paired = {row.seen.paired for row in rows if row.seen}
        how = "by Welch's t, because the seeds are not the same"
        if True in paired:
            how = "paired by seed" + (
                ", or by Welch's t for other seeds" if len(paired) > 1 else ""
            )
        yield (
            f"Differences from {first.name}, ± half their 95% confidence interval, {how}. "
            f"Words are for {counted(tested, 'difference')} together (Holm's correction): the "
            "chance that one 'better' or 'worse' of them is luck is at most 5%."
        )
    if any(row.word == UNSEEN for row in rows):
        yield (
            "Seeds needed ('5 of 34'): so many would settle it with a power of 80%, if difference "
            "and deviation stay as they are."
        )
    for reason, names in _unlike(rows).items():
        yield f"In brackets, because not like for like: {listed(names)}: {reason}."
    for each in others:
        for more, less in ((each, first), (first, each)):
            if missing := [name for name in more.models if name not in less.models]:
                yield f"{less.name} has no {listed(missing)}."
    if comparison.unchanged:
        yield f"The same weights in all experiments: {listed(comparison.unchanged)}."
    if any(row.on_front for row in rows if row.model not in comparison.unchanged):
        yield (
            f"{FRONT.strip()} on the Pareto front: no experiment has a better mean at the same or "
            "a lower number of floating-point operations."
        )


def title(comparison: Comparison) -> str:
    """What is compared with what; of many experiments their number."""
    first, *others = (each.name for each in comparison.experiments)
    what = listed(others) if len(others) <= NAMED else counted(len(others), "experiment")
    return f"{what} compared with {first}"


def text(comparison: Comparison) -> str:
    """The comparison for a terminal of 80 columns."""
    parts = [each.text() for each in (*metrics(comparison), *costs(comparison))]
    first = comparison.experiments[0].name
    parts.append("\n".join([f"What differs from {first}", *(
        f"  {wrapped(line, 4)}" for line in what_differs(comparison)
    ), ""]))  # fmt: skip
    return "\n".join([*parts, *(wrapped(note) for note in notes(comparison))])


def markdown(comparison: Comparison) -> str:
    """The comparison for GitHub, such as a comment of a pull request."""
    heading = f"## {plain(title(comparison))}\n"
    parts = [each.markdown() for each in (*metrics(comparison), *costs(comparison))]
    points = [*what_differs(comparison), *notes(comparison)]
    return "\n".join([heading, *parts, *(f"- {plain(point)}" for point in points)])


def _seeds(row: Row) -> str:
    """The number of seeds, and of those that would settle what is not seen."""
    count = str(len(row.values))
    return f"{count} of {row.seeds_needed or f'>{MOST:,}'}" if row.word == UNSEEN else count


def _difference(row: Row, first: Row) -> str:
    if not row.word or row.word == SAME:
        return ""
    shown = number(row.mean - first.mean, "+")
    return f"{shown} ± {significant(row.seen.margin, 2)}" if row.seen else shown


def _cost(cost: Cost) -> list[str]:
    reached = f"step {cost.to_target.step:,}" if cost.to_target else "never"
    return [
        prefixed(cost.flops),
        f"{cost.units:,}",
        "" if cost.seconds is None else f"{cost.seconds:,.1f}",
        reached if cost.has_targets else "",
    ]


def _unlike(rows: list[Row]) -> dict[str, list[str]]:
    """The experiments by the reason why they are not comparable."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for reason in row.unlike:
            if row.experiment not in found.setdefault(reason, []):
                found[reason].append(row.experiment)
    return found


def _short(name: str, width: int) -> str:
    """A name shortened in its middle, because long names often differ only at the end."""
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[-end:]}"
