"""Views of the table of runs: in MLflow's format, with the metrics to compare first."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from pipeline.params import validate
from pipeline.paths import REPORTS, write_json
from pipeline.tracking import Tracker, store, views
from tests.conftest import MODELS, ROOT

METRICS = {"bert": ("loss", "top1"), "gpt": ("loss", "loss_std"), "vit": ("accuracy",)}


@pytest.fixture
def experiment(small, project):
    """Two runs with metrics, which differ in a parameter."""
    shutil.copy(ROOT / "params.yaml", project)
    for name, keys in METRICS.items():
        write_json({name: dict.fromkeys(keys, 1.0)}, REPORTS / name / "metrics.json")
    for lr in (0.1, 0.2):
        raw = small.content()
        raw["gpt"]["train"]["lr"] = lr
        with Tracker("train", validate(raw), "gpt", 0) as tracker:
            tracker.curves([{"step": 1, "loss": 2 * lr}], [])
            tracker.metrics({"loss": lr})
    return store.experiment_id(), tracker.run_id


def state(experiment: str, key: str) -> dict:
    tags = mlflow.get_experiment(experiment).tags
    return json.loads(json.loads(tags[views.TAG + key])["state"])


def test_the_first_columns_are_those_of_dvc_exp_show(experiment):
    assert views.update(mlflow.MlflowClient(), experiment[0]) == "all"
    gpt = state(experiment[0], "gpt")
    assert gpt["searchFilter"] == "tags.model = 'gpt'"
    assert gpt["columnOrder"][1:4] == [
        "metrics.`gpt.loss`", "tags.`dvc_experiment`", "params.`gpt.train.lr`"
    ]  # fmt: skip
    loss, *bars = gpt["compareRunCharts"]
    assert loss["selectedMetricKeys"] == ["gpt.loss", "gpt/training/loss"]
    assert [chart["metricKey"] for chart in bars] == ["gpt.loss"]
    everything = state(experiment[0], "all")["columnOrder"]
    assert everything[1:5] == [
        "metrics.`bert.loss`", "metrics.`bert.top1`", "metrics.`gpt.loss`", "metrics.`vit.accuracy`"
    ]  # fmt: skip
    for key in ("all", *MODELS):
        shown = state(experiment[0], key)
        for chart in shown["compareRunCharts"]:  # of one model each
            metrics = chart.get("selectedMetricKeys", [chart["metricKey"]])
            assert len({metric[:3] for metric in metrics}) == 1


def test_a_row_has_a_view_of_its_own_runs(experiment):
    identifier, run_id = experiment
    assert views.update(mlflow.MlflowClient(), identifier, "puffy-tune", [run_id]) == "row"
    query = state(identifier, "row")["searchFilter"]
    (run,) = mlflow.search_runs([identifier], query, output_format="list")
    assert run.info.run_id == run_id


def test_the_experiment_is_one_of_model_training(experiment):
    assert mlflow.get_experiment(experiment[0]).tags.items() >= store.KIND.items()
    client = mlflow.MlflowClient()
    other = client.create_experiment("of an earlier version")
    views.update(client, other)
    assert client.get_experiment(other).tags.items() >= store.KIND.items()


def test_mlflows_pages_know_this_format(experiment):
    """The format is not documented, and an update of MLflow may change it."""
    pages = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    text = "".join(file.read_text("utf-8") for file in pages.glob("*.js"))
    words = views.page("1", "all").split("?")[1].replace("&", "=").split("=")[:3]
    words += [views.TAG, *store.KIND, *store.KIND.values(), '"createdAt"']
    views.update(mlflow.MlflowClient(), experiment[0])
    view = state(experiment[0], "gpt")
    words += [*view, *view["compareRunSections"][0], *view["compareRunCharts"][0], *views.LINE]
    assert [word for word in words if word.strip('"') not in text] == []
