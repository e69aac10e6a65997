"""With a real server that is down, dies or hangs, nothing is lost and nothing is logged twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModelStatus

from pipeline.errors import UserError
from pipeline.paths import data_dir, model_dir
from pipeline.running import lifetime, records
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.tracking import Tracker, outbox, store
from pipeline.tracking.store import EXPERIMENT
from tests.conftest import ROOT, log_evaluation
from tests.pipeline.tracking.server import Server

ROWS = [{"step": step, "loss": 1 / step} for step in range(1, 2501)]


@pytest.fixture
def server(small, tmp_path_factory, monkeypatch):
    server = Server(tmp_path_factory.mktemp("server"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    return server


def runs(server):
    mlflow.set_tracking_uri(server.address)
    return mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list")


@pytest.mark.long
@pytest.mark.parametrize("fault", ["dies", "hangs"])
def test_a_run_is_uploaded_after_its_server_stopped(server, small, project, capsys, fault):
    with server.running():
        with Tracker("train", small, "gpt", 0) as tracker:
            tracker.tags({"device": "cpu"})
            tracker.curves(ROWS[:1200], [])
            number = signal.SIGKILL if fault == "dies" else signal.SIGSTOP
            os.killpg(server.group, number)
            start = time.monotonic()
            tracker.curves(ROWS[:2000], [])
            tracker.curves(ROWS, [])
            tracker.metrics({"final": 1.5})
            (project / "notes.txt").write_text("as it was")
            tracker.files(project / "notes.txt")
        lost = time.monotonic() - start
        (project / "notes.txt").write_text("overwritten by the next run")
    print(f"seconds lost to a server that {fault}: {lost:.1f}")
    assert lost < 10
    assert capsys.readouterr().err.count("warning: MLflow at http://127.0.0.1") == 1
    with pytest.raises(UserError, match="1 of 1 runs are not uploaded"):  # still down
        outbox.sync()
    with server.running():
        outbox.sync()
        outbox.sync()  # has no effect
        (run,) = runs(server)
        client = mlflow.MlflowClient()
        series = client.get_metric_history(run.info.run_id, "gpt/training/loss")
        assert [point.step for point in series] == [row["step"] for row in ROWS]
        assert len(client.get_metric_history(run.info.run_id, "gpt.final")) == 1
        assert run.info.status == "FINISHED"
        assert run.data.tags["device"] == "cpu"
        notes = client.download_artifacts(run.info.run_id, "notes.txt", str(project))
        with open(notes) as file:
            assert file.read() == "as it was"
    assert not outbox.pending()


def test_a_run_that_continues_replaces_its_kept_part(server, small, project, monkeypatch):
    """It was killed while the server was down, and logs everything again when it continues."""
    with (
        monkeypatch.context() as patch,
        pytest.raises(SystemExit, match="143"),
        Tracker("train", small, "gpt", 0, "one training") as tracker,
    ):
        tracker.curves(ROWS[:1000], [])
        patch.setattr(lifetime, "_signal", 15)  # a second exit, at the next chance
        raise SystemExit(143)
    assert len(outbox.pending()) == 1
    with server.running():
        with Tracker("train", small, "gpt", 0, "one training") as tracker:
            tracker.curves(ROWS, [])
        assert not outbox.pending()
        (run,) = runs(server)
        assert run.info.status == "FINISHED"


@pytest.mark.long
def test_two_uploads_at_once_log_a_run_once(server, small, project):
    with Tracker("train", small, "gpt", 0) as tracker:
        tracker.curves(ROWS, [])
    command = [sys.executable, "-m", "pipeline", "sync"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(project)}
    with server.running():
        both = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        printed = sorted(process.communicate()[0].splitlines()[-1] for process in both)
        assert printed == ["nothing to upload", "uploaded: gpt"]
        (run,) = runs(server)
        series = mlflow.MlflowClient().get_metric_history(run.info.run_id, "gpt/training/loss")
        assert [point.step for point in series] == [row["step"] for row in ROWS]


@pytest.mark.long
def test_stages_finish_without_a_server(server, small, project, capsys):
    """Training and evaluation write all results; MLflow gets one complete run later."""
    prepare(small, "vit")
    train(small, "vit", 0)
    evaluate(small, "vit", 0)
    log_evaluation(small, "vit")
    assert (model_dir("vit", 0) / "model.safetensors").exists()
    assert (project / "predictions" / "vit" / "seed-0" / "metrics.json").exists()
    train_entry, evaluate_entry = (file.parent for file in outbox.pending())
    # Only what the run needs, not the whole project, which contains the outbox.
    kept = {"seed-0", "meta.json", "pipeline", "transformer"}
    assert {path.name for path in train_entry.glob("*/*")} == kept
    assert {path.name for path in evaluate_entry.glob("*/*")} == {"seed-0"}
    assert not list((project / ".records" / "outbox").glob(".fresh-*"))
    before = time.time() * 1000
    with server.running():
        outbox.sync()
        (run,) = runs(server)
        assert run.info.status == "FINISHED"
        assert run.info.start_time < run.info.end_time < before  # not the time of the upload
        # From now on, a report can name the run.
        weights = model_dir("vit", 0) / "model.safetensors"
        assert records.read("train", "vit-0", weights)["mlflow_run_id"] == run.info.run_id
        assert run.data.tags["stage"] == "train"
        assert {"vit.closing_loss", "vit.accuracy", "vit/training/loss"} <= run.data.metrics.keys()
        (model,) = run.outputs.model_outputs
        images = np.zeros((2, 3, 8, 8), dtype=np.uint8)
        assert len(mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(images)) == 2
    assert data_dir("vit").exists()


@pytest.mark.long
def test_a_model_whose_upload_broke_off_is_uploaded_again(server, small, project, capsys):
    """MLflow adds a model to its run before it has the files."""
    prepare(small, "gpt")
    storage = server.folder / "artifacts"
    storage.write_text("a file where the server wants a folder: it cannot store anything")
    with server.running():
        train(small, "gpt", 0)
        assert "warning: MLflow" in capsys.readouterr().err
        (run,) = runs(server)
        (broken,) = run.outputs.model_outputs
        assert mlflow.get_logged_model(broken.model_id).status != LoggedModelStatus.READY
        storage.unlink()
        outbox.sync()
        (run,) = runs(server)
        (model,) = run.outputs.model_outputs
        loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
        assert len(loaded.predict(["the king and"])) == 1


@pytest.mark.long
def test_an_upload_whose_answer_is_lost_creates_no_second_run(server, small, project, monkeypatch):
    """The server has created the run, but the connection breaks before it can say so."""
    with Tracker("train", small, "gpt", 0) as tracker:
        tracker.curves(ROWS, [])
    with server.running():
        runs(server)
        with losing_answers(server.port, "/runs/create") as address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            with pytest.raises(UserError, match="1 of 1 runs are not uploaded"):
                outbox.sync()
        assert len(runs(server)) == 1
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        outbox.sync()
        (run,) = runs(server)
        series = mlflow.MlflowClient().get_metric_history(run.info.run_id, "gpt/training/loss")
        assert [point.step for point in series] == [row["step"] for row in ROWS]


@contextmanager
def losing_answers(port: int, path: str):
    """The address of a proxy to a server on this machine that passes requests for `path` on, and
    breaks the connection in place of the answer."""

    class Proxy(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with closing(HTTPConnection("127.0.0.1", port)) as server:
                server.request(self.command, self.path, body, dict(self.headers))
                answer = server.getresponse()
                content = answer.read()
            if path in self.path:
                self.connection.close()
                return
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()


def test_the_error_about_a_deleted_experiment_has_a_command_to_restore_it(small, project, capsys):
    """Also for the project's own database: the command contains its address."""
    identifier = store.experiment_id()
    mlflow.MlflowClient().delete_experiment(identifier)
    with Tracker("train", small, "gpt", 0) as tracker:
        tracker.curves(ROWS, [])
    warning = capsys.readouterr().err
    assert "the MLflow experiment 'transformer-benchmark' is deleted; restore it with `" in warning
    with pytest.raises(UserError) as failure:
        outbox.sync()
    first, last = str(failure.value).splitlines()
    assert last == "1 of 1 runs are not uploaded; solve this, then run the same command again"
    command = first.split("`")[1]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], env=environment | {"PATH": path}, check=True)
    outbox.sync()
    (run,) = mlflow.search_runs([identifier], output_format="list")
    assert run.info.status == "FINISHED"


def test_a_run_kept_by_an_earlier_version_is_uploaded(small, project):
    entry = {
        "identity": {
            "training_id": "an-id",
            "name": "gpt",
            "begins": True,
            "tags": {"stage": "train", "model": "gpt", "dvc_experiment": "puffy-tune"},
            "params": {"architecture.n_layer": 1},
        },
        "operations": [
            ["params", {"values": {"parameters": 7}}],
            ["series", {"group": "train", "rows": ROWS[:2]}],
            ["metrics", {"values": {"test/loss": 1.5}}],
        ],
        "status": "FINISHED",
    }
    folder = project / ".records" / "outbox" / "an-id-train"
    folder.mkdir(parents=True)
    (folder / outbox.ENTRY).write_text(json.dumps(entry))
    outbox.sync()
    (run,) = mlflow.search_runs([store.experiment_id()], output_format="list")
    assert run.data.metrics == {"train/loss": 0.5, "test/loss": 1.5}
    assert run.info.status == "FINISHED"


def test_without_kept_runs_there_is_nothing_to_upload(project, capsys):
    outbox.sync()
    assert capsys.readouterr().out == "nothing to upload\n"
