"""Views of MLflow's table of runs: their columns and charts.

The first columns have the metrics of `dvc exp show`, which people compare, then the parameters that
differ; the charts show the same metrics. MLflow's pages list the views under 'Views', and a link
opens one. A view is a tag of the experiment, in the format that MLflow's own pages write.
"""

import json
import time
from collections.abc import Iterable
from typing import Any

from pipeline.params import names
from pipeline.paths import REPORTS, read_json
from pipeline.tracking import rows, store

TAG = "mlflow.sharedViewState."
OVERVIEW, ROW = "all", "row"  # keys of views; the others are the names of the models
RUNS = 200  # number of the latest runs, which determine the columns
COLUMNS = 12  # the most columns of parameters
LINE = {
    "xAxisKey": "step",
    "scaleType": "linear",
    "range": {},
    "lineSmoothness": 0,
    "useGlobalLineSmoothing": False,
}
NAME = "attributes.`Run Name`"
RESULTS = ("Models", "Dataset")  # columns with links to the model and the data of a run


def update(client: Any, experiment_id: str, row: str = "", run_ids: Iterable[str] = ()) -> str:
    """Write all views again, for the current runs; returns the key of the one to open.

    row, run_ids: a row of `dvc exp show` and its runs, for a view of these runs only.
    """
    runs = client.search_runs([experiment_id], "tags.stage = 'train'", max_results=RUNS)
    models = _models(runs)
    views = {OVERVIEW: _view("All models", runs, models, "tags.stage = 'train'")}
    for name in models:
        ours = [run for run in runs if run.data.tags.get("model") == name]
        views[name] = _view(name, ours, [name], f"tags.model = '{name}'")
    if row:
        chosen = [run for run in runs if run.info.run_id in set(run_ids)]
        query = ", ".join(f"'{run_id}'" for run_id in run_ids)
        views[ROW] = _view(f"dvc: {row}", chosen, models, f"attributes.run_id IN ({query})")
    for key, value in store.KIND.items():
        client.set_experiment_tag(experiment_id, key, value)
    for key, view in views.items():
        client.set_experiment_tag(experiment_id, TAG + key, view)
    return ROW if row else OVERVIEW


def page(experiment_id: str, view: str | None) -> str:
    """The link to the table of runs, relative to the server. view: its key; None for no view."""
    shown = f"&viewStateShareKey={view}" if view else ""
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning{shown}"


def _view(title: str, runs: list[Any], models: Iterable[str], query: str) -> str:
    """A view in MLflow's format. runs: determine its columns and charts."""
    metrics = {name: _headline(name) for name in models}
    columns = [f"metrics.`{name}.{key}`" for name in models for key in metrics[name]]
    columns += [f"tags.`{rows.EXPERIMENTS_TAG}`"]
    columns += [f"params.`{key}`" for key in _differing(runs)[:COLUMNS]]
    columns += [f"attributes.`{each}`" for each in RESULTS]
    logged = {key for run in runs for key in run.data.metrics}
    sections = {f"{name}: compare": _charts(name, metrics[name], logged) for name in models}
    # Sections that MLflow generates are collapsed.
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


def _models(runs: list[Any]) -> list[str]:
    """The models of params.yaml, and others that the runs have."""
    return list(dict.fromkeys([*names(), *(run.data.tags["model"] for run in runs)]))


def _headline(name: str) -> list[str]:
    """The metrics for comparing runs of a model: the columns of `dvc exp show`."""
    file = REPORTS / name / "metrics.json"
    metrics = read_json(file)[name] if file.exists() else {"loss": None}
    return [key for key in metrics if not key.endswith("_std")]


def _differing(runs: list[Any]) -> list[str]:
    """The parameters that differ between runs of the same model."""
    differing: dict[str, None] = {}
    for name in _models(runs):
        ours = [run.data.params for run in runs if run.data.tags.get("model") == name]
        keys = sorted({key for params in ours for key in params})
        differing |= {key: None for key in keys if len({p.get(key) for p in ours}) > 1}
    return list(differing)


def _charts(name: str, metrics: list[str], logged: set[str]) -> list[dict[str, Any]]:
    """For each metric, a chart of its training and evaluation curves; then one of final values."""
    curves = []
    for key in metrics:
        training, evaluations = f"{name}/training/{key}", f"{name}.{key}"
        if training in logged:
            # The title of the chart: a narrow one shows its beginning, '<model>.<metric>'.
            both = {"selectedMetricKeys": [evaluations, training]}
            curves.append(_chart("LINE", training) | LINE | both)
    return curves + [_chart("BAR", f"{name}.{key}") for key in metrics]


def _chart(kind: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": f"{kind}-{metric}",
        "type": kind,
        "metricKey": metric,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }
