"""What MLflow's table of runs shows first: views of it, which are kept in the experiment itself.

A view has what people compare in its first columns, under the names of `dvc exp show`, and in its
charts; then the parameters that differ. MLflow's pages list it under 'Views', and a link opens it.
MLflow keeps a view as a tag of the experiment, in the form that its own pages write.
"""

import json
import time
from collections.abc import Iterable
from typing import Any

from pipeline import MODELS
from pipeline.paths import read_json, results_dir
from pipeline.tracking import rows, store

TAG = "mlflow.sharedViewState."
OVERVIEW, ROW = "all", "row"  # keys of views, beside the names of the models
RUNS = 200  # the latest ones, by which columns are chosen
COLUMNS = 12  # of parameters
LINE = {
    "xAxisKey": "step",
    "scaleType": "linear",
    "range": {},
    "lineSmoothness": 0,
    "useGlobalLineSmoothing": False,
}
NAME = "attributes.`Run Name`"
RESULTS = ("Models", "Dataset")  # attributes with links to a run's model and data


def update(client: Any, experiment_id: str, row: str = "", run_ids: Iterable[str] = ()) -> str:
    """Write the views anew, by the runs that there are; returns the key of the one to open.

    row, run_ids: a row of `dvc exp show` and its runs, for a view of these.
    """
    runs = client.search_runs([experiment_id], "tags.stage = 'train'", max_results=RUNS)
    views = {OVERVIEW: _view("All models", runs, MODELS, "tags.stage = 'train'")}
    for name in MODELS:
        ours = [run for run in runs if run.data.tags.get("model") == name]
        views[name] = _view(name, ours, [name], f"tags.model = '{name}'")
    if row:
        chosen = [run for run in runs if run.info.run_id in set(run_ids)]
        query = ", ".join(f"'{run_id}'" for run_id in run_ids)
        views[ROW] = _view(f"dvc: {row}", chosen, MODELS, f"attributes.run_id IN ({query})")
    for key, value in store.KIND.items():
        client.set_experiment_tag(experiment_id, key, value)
    for key, view in views.items():
        client.set_experiment_tag(experiment_id, TAG + key, view)
    return ROW if row else OVERVIEW


def page(experiment_id: str, view: str | None) -> str:
    """The table of runs of model training, in a view, as a link relative to the server."""
    shown = f"&viewStateShareKey={view}" if view else ""
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning{shown}"


def _view(title: str, runs: list[Any], models: Iterable[str], query: str) -> str:
    """A view as MLflow keeps it. runs: by which its columns and charts are chosen."""
    figures = {name: _headline(name) for name in models}
    columns = [f"metrics.`{name}.{key}`" for name in models for key in figures[name]]
    columns += [f"tags.`{rows.EXPERIMENTS}`"]
    columns += [f"params.`{key}`" for key in _differing(runs)[:COLUMNS]]
    columns += [f"attributes.`{each}`" for each in RESULTS]
    logged = {key for run in runs for key in run.data.metrics}
    sections = {f"{name}: compare": _charts(name, figures[name], logged) for name in models}
    # The others, which MLflow makes by itself, are there on a click.
    sections |= {f"{name}/training": [] for name in models} | {"Model metrics": []}
    state = {
        "searchFilter": query,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [NAME, *columns, "duration"],
        "columnWidths": {NAME: 340},
        "compareRunSections": [
            {"uuid": section, "name": section, "display": bool(charts), "isReordered": True}
            for section, charts in sections.items()
        ],
        "compareRunCharts": [
            {**chart, "metricSectionId": section}
            for section, charts in sections.items()
            for chart in charts
        ],
        "isAccordionReordered": True,
    }
    now = int(time.time() * 1000)
    view = {"name": title, "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return json.dumps(view)


def _headline(name: str) -> list[str]:
    """What people compare runs of a model by: the columns that `dvc exp show` has."""
    file = results_dir(name) / "metrics.json"
    figures = read_json(file)[name] if file.exists() else {"loss": None}
    return [key for key in figures if not key.endswith("_std")]


def _differing(runs: list[Any]) -> list[str]:
    """The parameters that are not the same in all runs of a model."""
    differing = {}
    for name in MODELS:
        ours = [run.data.params for run in runs if run.data.tags.get("model") == name]
        keys = sorted({key for params in ours for key in params})
        differing |= {key: None for key in keys if len({p.get(key) for p in ours}) > 1}
    return list(differing)


def _charts(name: str, figures: list[str], logged: set[str]) -> list[dict[str, Any]]:
    """Curves of training batches and of evaluations in one chart, then each figure as it ended."""
    curves = []
    for key in figures:
        training, evaluations = f"{name}/training/{key}", f"{name}.{key}"
        if training in logged:
            both = {"selectedMetricKeys": [training, evaluations]}
            curves.append(_chart("LINE", training) | LINE | both)
    return curves + [_chart("BAR", f"{name}.{key}") for key in figures]


def _chart(kind: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": f"{kind}-{metric}",
        "type": kind,
        "metricKey": metric,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }
