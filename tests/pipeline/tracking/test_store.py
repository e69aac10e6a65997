"""The database, and errors of MLflow as one line."""

import os
import signal
import socket
import ssl
import subprocess
import sys

import mlflow
import pytest

from pipeline.tracking import store
from tests.ports import free_port
from tests.repository import ROOT

KILLED_BETWEEN_TABLES = """
import os, signal
from sqlalchemy import Engine, event
from pipeline.tracking import store

@event.listens_for(Engine, "after_cursor_execute")
def kill(connection, cursor, statement, *_):
    if "CREATE TABLE assessments" in statement:
        os.kill(os.getpid(), signal.SIGKILL)

store.experiment_id()
"""
ADDRESS = "http://me:s3cret@127.0.0.1"


def said(monkeypatch, address: str) -> str:
    """The message about the server at `address`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(Exception) as caught:
        store.experiment_id()
    return store.failure(caught.value)


def test_a_server_that_is_down_refuses_the_connection(project, monkeypatch):
    port = free_port()
    found = said(monkeypatch, f"{ADDRESS}:{port}")
    assert found == f"MLflow at http://***@127.0.0.1:{port} cannot be reached: Connection refused"


def test_an_unknown_host_is_named_with_its_reason(project, monkeypatch):
    found = said(monkeypatch, "http://me:s3cret@no-such-host.invalid")
    reason = found.removeprefix("MLflow at http://***@no-such-host.invalid cannot be reached: ")
    assert reason != found and "(" not in reason


def test_a_server_that_does_not_answer_is_not_reached(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        found = said(monkeypatch, f"http://me:s3cret@{place}")
    assert found == f"MLflow at http://***@{place} cannot be reached: timed out"


@pytest.mark.parametrize(
    ("cause", "shown"),
    [
        (ssl.SSLError(1, "[SSL] wrong version of s3cret"), "cannot be reached: [SSL] wrong versio"),
        (PermissionError(13, "Permission denied", "mlflow.db"), "failed: API request failed"),
    ],
)
def test_only_an_error_of_the_network_says_that_mlflow_is_not_reached(monkeypatch, cause, shown):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ADDRESS)
    try:
        try:
            raise cause
        except OSError as error:
            raise RuntimeError("API request failed") from error
    except RuntimeError as error:
        found = store.failure(error)
    assert found.startswith(f"MLflow at http://***@127.0.0.1 {shown}") and "s3cret" not in found


def test_a_database_whose_creation_was_killed_is_created_again(project):
    """Killed within one of MLflow's migrations."""
    store.database().unlink()
    command = [sys.executable, "-c", KILLED_BETWEEN_TABLES]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert killed.returncode == -signal.SIGKILL
    with mlflow.start_run(experiment_id=store.experiment_id()) as run:
        mlflow.log_metric("loss", 1.0)
    assert mlflow.get_run(run.info.run_id).data.metrics == {"loss": 1.0}
    assert [path.name for path in project.glob("mlflow.db*")] == ["mlflow.db"]
