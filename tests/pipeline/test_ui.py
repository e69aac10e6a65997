"""`ui`: the link that opens the runs, in the local database or on a server."""

import re
import urllib.request
from pathlib import Path

import mlflow
import pytest

from pipeline import ui
from pipeline.errors import UserError
from pipeline.tracking import Tracker, store
from tests.pipeline.tracking.server import Server, running_ui
from tests.ports import free_port


@pytest.mark.long
def test_for_runs_on_a_server_the_link_to_its_ui_is_printed(
    small, project, monkeypatch, capsys, tmp_path_factory
):
    server = Server(tmp_path_factory.mktemp("server"))
    address = f"127.0.0.1:{server.port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:word@{address}")
    with server.running():
        with Tracker("train", small, "gpt", 0) as tracker:
            tracker.metrics({"loss": 1.0})
        ui.open_ui(5000, None)  # serves nothing, so it returns
        link = f"http://{address}/#/experiments/{store.experiment_id()}/runs?"
    assert capsys.readouterr().out == (
        f"MLflow: {link}workflowType=machine_learning&viewStateShareKey=all\n{ui.HINT}\n"
    )


@pytest.mark.parametrize("row", ["nonsense", "workspace", "HEAD"])
def test_a_row_without_runs_is_named(project, row):
    with pytest.raises(UserError, match=f"^{row}: DVC has no models"):
        ui.open_ui(free_port(), row)


def test_the_link_leads_to_the_runs_of_model_training(small, project):
    with Tracker("train", small, "gpt", 0):
        pass
    with running_ui({}) as (process, address):
        assert process.stdout.readline() == f"MLflow: {address}/start (Ctrl-C stops it)\n"
        with urllib.request.urlopen(f"{address}/start") as answer:
            page = answer.read().decode()
        with urllib.request.urlopen(address) as answer:
            assert b"<title>MLflow</title>" in answer.read()
        mlflow.set_tracking_uri(address)
        (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert process.returncode == 0
    link = f"/#/experiments/{run.info.experiment_id}/runs?workflowType=machine_learning"
    assert f'location.replace("{link}&viewStateShareKey=all")' in page


def test_mlflows_pages_read_these_settings_in_the_browser():
    """They are not documented, and an update of MLflow may change them."""
    pages = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    text = "".join(file.read_text("utf-8") for file in pages.glob("main.*.js"))
    for key in re.findall(r'setItem\("(.+)_v1"', ui.START):
        assert f'key:"{key}",version:1,' in text


def test_for_a_read_only_server_a_link_without_a_view_is_printed(
    small, project, monkeypatch, capsys
):
    def refuse(*_):
        raise PermissionError("403")

    monkeypatch.setattr(mlflow.MlflowClient, "set_experiment_tag", refuse)
    monkeypatch.setattr(store, "server", lambda: "http://server")  # so it serves nothing
    ui.open_ui(5000, None)
    printed = capsys.readouterr()
    link = f"http://server/#/experiments/{store.experiment_id()}/runs?workflowType=machine_learning"
    assert printed.out == f"MLflow: {link}\n{ui.HINT}\n"
    assert "warning: no view of the runs: MLflow at " in printed.err
