"""No password appears in output, in files, or in the arguments of processes."""

import os
import shutil
import subprocess
import sys

import mlflow
import psutil
import pytest

from pipeline.errors import UserError
from pipeline.tracking import Tracker, outbox
from pipeline.tracking.secrets import hide
from tests.conftest import ROOT
from tests.pipeline.tracking.server import Server, running_ui
from tests.pipeline.tracking.test_tracker import use_everything
from tests.ports import free_port

PASSWORD, WRITTEN = "s3cr@t!", "s3cr%40t%21"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://me:word@host:5000/mlflow is down", "http://***@host:5000/mlflow is down"),
        ("http://t0ken@host", "http://***@host"),
        ("http://me:w@rd@host", "http://***@host"),
        ("http://p:p@host", "http://***@host"),
        ("postgresql+psycopg2://me:word@db/runs?a=1", "postgresql+psycopg2://***@db/runs?a=1"),
        ("mssql://db/runs?password=word&a=1", "mssql://db/runs?password=***&a=1"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_addresses_are_shown_without_passwords(monkeypatch, text, shown):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert hide(text) == shown


@pytest.mark.parametrize("form", [PASSWORD, WRITTEN])
def test_a_password_in_use_is_hidden_everywhere(monkeypatch, form):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{WRITTEN}@127.0.0.1")
    assert hide(f"401: no user me with {form}") == "401: no user me with ***"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", form)
    assert hide(f"Bearer {form}") == "Bearer ***"


@pytest.mark.parametrize("password", ["p", "t", "127", "http", "p%2F", "@"])
def test_a_short_password_is_hidden_and_garbles_no_other_word(monkeypatch, password):
    address = f"http://me:{password}@host/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    said = f"{address} and port 51279: no http, try https or ftp; not me:{password}, {password}"
    hidden = hide(said)
    usual = "http://***@host/mlflow and port 51279: no {}, try https or ftp; not me:***, ***"
    assert hidden == usual.format("***" if password == "http" else "http")


def test_a_password_with_a_slash_is_hidden_with_its_user(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:w/rd@host")
    assert hide("http://me:w/rd@host is down") == "http://***@host is down"


def leaks(project, output: str) -> list[str]:
    """Where the password appears: in the output, or in a file of the project."""
    forms = (PASSWORD.encode(), WRITTEN.encode())
    kept = {str(file): file.read_bytes() for file in project.rglob("*") if file.is_file()}
    return [name for name, text in (kept | {"output": output.encode()}).items()
            if any(form in text for form in forms)]  # fmt: skip


def test_errors_about_a_server_that_is_down_have_no_password(small, project, monkeypatch, capfd):
    address = f"http://me:{WRITTEN}@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with Tracker("train", small, "gpt", 0) as tracker:
        use_everything(tracker)
    with pytest.raises(UserError) as failure:
        outbox.sync()
    said = "".join(capfd.readouterr()) + str(failure.value)
    assert "MLflow at http://***@127.0.0.1" in said
    assert leaks(project, said) == []
    ui = [sys.executable, "-m", "pipeline", "ui"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(ui, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "MLflow at http://***@127.0.0.1" in done.stderr
    assert leaks(project, done.stdout + done.stderr) == []


STAGE = """
from pipeline.params import load
from pipeline.tracking import Tracker
with Tracker("train", load(), "gpt", 0) as tracker:
    tracker.metrics({"loss": 1.0})
print(tracker.run_id)
"""


@pytest.mark.long
def test_runs_on_a_server_have_no_password(project, monkeypatch, tmp_path_factory):
    """MLflow would print a link with the password, and log the address of a git remote."""
    server = Server(tmp_path_factory.mktemp("server"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{WRITTEN}@127.0.0.1:{server.port}")
    clone = clone_with_a_password(project / "clone")
    with server.running():
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "stage.py"]
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        tags = mlflow.MlflowClient(server.address).get_run(done.stdout.strip()).data.tags
    assert tags["mlflow.source.git.repoURL"].endswith("example.org/x.git")
    shutil.rmtree(clone / ".git")
    assert leaks(project, done.stdout + str(tags)) == []


def clone_with_a_password(folder):
    """A repository with a stage, whose remote's address has a password."""
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "stage.py").write_text(STAGE)
    remote = f"https://me:{WRITTEN}@example.org/x.git"
    commands = (["init", "-q"], ["remote", "add", "origin", remote], ["add", "."])
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (*commands, [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.mark.long
def test_no_process_of_the_ui_has_the_database_as_an_argument(project):
    """Every user of the machine can list arguments."""
    database = f"sqlite:///{project}/{PASSWORD}.db"  # easy to find
    with running_ui({"MLFLOW_TRACKING_URI": database}) as (ui, _):
        family = [psutil.Process(ui.pid), *psutil.Process(ui.pid).children(recursive=True)]
        arguments = [" ".join(process.cmdline()) for process in family]
    assert not any(PASSWORD in line for line in arguments)
