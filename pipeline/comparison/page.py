"""One self-contained page: tables, pictures and samples of all experiments, without a network."""

import html
import json
from pathlib import Path
from typing import Any

from pipeline import plots
from pipeline.comparison import charts, content, samples, tables
from pipeline.comparison.comparing import UNSEEN, Comparison
from pipeline.comparison.curves import curves
from pipeline.paths import replacing
from pipeline.tracking import links
from pipeline.wording import listed

TEMPLATE = Path(__file__).with_name("page.html")


def write(comparison: Comparison, file: Path) -> None:
    """Write the page."""
    parts = {
        "title": html.escape(tables.title(comparison)),
        "vega": plots.vega(),
        # A closing tag inside the script would end it.
        "content": json.dumps(_content(comparison)).replace("</", "<\\/"),
    }
    text = TEMPLATE.read_text("utf-8")
    for key, part in parts.items():
        text = text.replace(f"<!-- {key} -->", part)
    with replacing(file) as fresh:
        fresh.write_text(text, "utf-8")


def _content(comparison: Comparison) -> dict[str, Any]:
    """What page.html shows: the comparison, pictures for Vega, and samples as HTML."""
    names = [each.name for each in comparison.experiments]
    drawn, without_bands = _curves(comparison, names)
    notes = [*tables.notes(comparison)]
    if without_bands:
        notes.append(
            "Curves without bands, because the outputs of single seeds are missing, for example "
            f"after `dvc gc`: {listed(without_bands)}."
        )
    found = content.content(comparison)
    run_ids = [
        run_id
        for each in found["experiments"]
        for of_model in each["runs"].values()
        for run_id in of_model.values()
    ]
    return found | {
        "colors": [charts.COLORS[index % len(charts.COLORS)] for index in range(len(names))],
        "notes": notes,
        "unseen": UNSEEN,
        "quality": {
            metric: charts.cost_and_quality(rows, names)
            for metric, rows in comparison.by_metric().items()
            if rows[0].model not in comparison.unchanged
        },
        "curves": drawn,
        "samples": {each.name: samples.samples(each) for each in comparison.experiments},
        "links": links.runs(run_ids),
    }


def _curves(comparison: Comparison, names: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The pictures of all curves by model and metric, and the experiments without curves of single
    seeds."""
    drawn: dict[str, Any] = {}
    without: dict[str, None] = {}
    for model, of_model in comparison.costs.items():
        if model in comparison.unchanged:
            continue
        points: list[dict[str, Any]] = []
        for experiment in comparison.experiments:
            if model in experiment.models:
                found, all_seeds = curves(experiment, model)
                points += found
                if not all_seeds:
                    without[experiment.name] = None
        unit = next(iter(of_model.values())).unit
        for metric in dict.fromkeys(point["metric"] for point in points):
            chosen = [point for point in points if point["metric"] == metric]
            drawn[f"{model}: {metric}"] = charts.curves(chosen, names, unit, metric)
    return drawn, [*without]
