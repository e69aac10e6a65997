"""A failure of MLflow prints one warning and does not stop the training."""

import copy
import errno
import getpass
import json
import socket
import sys
import threading
import time
from functools import reduce

import mlflow
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from pipeline.params import validate
from pipeline.running import lifetime
from pipeline.tracking import Tracker, mark_killed, outbox, store
from pipeline.tracking.run import Run
from pipeline.yaml_file import flatten
from tests.conftest import MODELS
from tests.ports import free_port


def use_everything(tracker: Tracker) -> None:
    tracker.tags({"a": "1"})
    tracker.curves([{"step": 1, "loss": 1.0}], [])
    tracker.metrics({"b": 2.0})


def test_a_dead_server_costs_seconds_and_one_warning(small, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    start = time.monotonic()
    with Tracker("train", small, "gpt", 0) as tracker:
        use_everything(tracker)
    assert time.monotonic() - start < 20
    assert capsys.readouterr().err.count("warning: MLflow at http://127.0.0.1") == 1
    assert tracker.run_id is None


def test_a_server_that_never_answers_costs_seconds_and_one_warning(small, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        accepted = []
        threading.Thread(target=lambda: accepted.append(silent.accept()), daemon=True).start()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        start = time.monotonic()
        with Tracker("train", small, "gpt", 0) as tracker:
            use_everything(tracker)
        assert time.monotonic() - start < 30
        for connection, _ in accepted:
            connection.close()
    assert capsys.readouterr().err.count("warning: MLflow") == 1


def test_a_training_does_not_wait_for_its_server(small, monkeypatch):
    answer, do = threading.Event(), Run.do

    def slow(run: Run, *arguments) -> None:
        assert answer.wait(60)
        do(run, *arguments)

    monkeypatch.setattr(Run, "do", slow)
    steps = [{"step": 1, "loss": 1.0}]
    with Tracker("train", small, "gpt", 0) as tracker:
        tracker.curves(steps, [])
        steps.append({"step": 2, "loss": 2.0})  # while the server has not answered
        answer.set()
        tracker.curves(steps, [])
    history = mlflow.MlflowClient().get_metric_history(tracker.run_id, "gpt/training/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 2.0)]
    assert mlflow.get_run(tracker.run_id).info.status == "FINISHED"


def test_after_a_signal_a_slow_server_gets_no_more_than_the_time_that_is_left(
    small, monkeypatch, capsys
):
    answer = threading.Event()
    monkeypatch.setattr(Run, "do", lambda *_: answer.wait(60))
    with (
        monkeypatch.context() as patch,
        pytest.raises(SystemExit),
        Tracker("train", small, "gpt", 0) as tracker,
    ):
        use_everything(tracker)
        patch.setattr(lifetime, "_signal", 15)
        patch.setattr(lifetime, "_deadline", time.monotonic() + 4)
    answer.set()
    (kept,) = outbox.pending()
    assert len(json.loads(kept.read_text())["operations"]) == 4
    assert "is slow" in capsys.readouterr().err


def test_a_disk_that_is_full_does_not_hide_the_warning(small, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outbox, "mark_unreachable", full)
    with Tracker("train", small, "gpt", 0) as tracker:
        use_everything(tracker)
    assert capsys.readouterr().err.count("warning: MLflow at") == 1
    assert len(outbox.pending()) == 1


def test_a_run_knows_its_user_and_code_without_the_import_of_ipython(small, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with Tracker("train", small, "gpt", 0) as tracker:
        use_everything(tracker)
    tags = mlflow.get_run(tracker.run_id).data.tags
    assert tags["mlflow.user"] == getpass.getuser()
    assert tags["mlflow.source.type"] == "LOCAL" and tags["mlflow.source.name"]
    assert "IPython" not in sys.modules


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_ends_with_the_status_of_its_stage(small, error, status):
    try:
        with Tracker("train", small, "gpt", 0) as tracker:
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert mlflow.get_run(tracker.run_id).info.status == status


def test_tags_lead_from_a_run_to_its_dvc_experiments(small, monkeypatch):
    """The one that trained it, and those that took the model from DVC's cache."""
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-tune")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc123")
    with Tracker("train", small, "gpt", 0) as tracker:
        pass
    for again in ("later", "puffy-tune", "later"):
        monkeypatch.setenv("DVC_EXP_NAME", again)
        with Tracker("report", small, "gpt", 0, tracker.training_id):
            pass
    run = mlflow.get_run(tracker.run_id)
    assert run.info.run_name == "gpt · puffy-tune"
    expected = {
        "stage": "train",
        "model": "gpt",
        "profile": "default (changes unknown: no commit has a params.yaml)",
        "dvc_experiment": "puffy-tune, later",
        "dvc_baseline": "abc123",
    }
    assert expected.items() <= run.data.tags.items()


def logged(params, name):
    """Parameters and their hash in MLflow, of a run with these parameters."""
    with Tracker("train", params, name, 0) as tracker:
        pass
    data = mlflow.get_run(tracker.run_id).data
    return data.params, data.tags["params_hash"]


@pytest.mark.parametrize("name", MODELS)
def test_all_parameters_of_a_run_are_logged_with_the_names_of_params_yaml(raw, project, name):
    """The same names as the columns of `dvc exp show` and the overrides of `-S`."""
    expected = {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, value in flatten(raw).items()
        if path.split(".")[0] in ("seeds", "threads", "device", "numerics", "model", "train", name)
    }
    # Keys that the model's own section overrides are not logged.
    shadowed = {f"{part}.{key}" for part in ("model", "train") for key in raw[name][part]}
    parameters, _ = logged(validate(raw), name)
    assert parameters == {k: v for k, v in expected.items() if k not in shadowed}


CHANGES = {
    "threads": (3, set(MODELS)),
    "device": ("cpu", set(MODELS)),
    "numerics": ("fast", set(MODELS)),
    "model.n_layer": (7, {"bert", "gpt", "vit"}),  # G2P has its own
    "model.dropout": (0.3, {"bert", "vit", "g2p"}),  # GPT has its own
    "train.warmup_steps": (7, set(MODELS)),
    "bert.model.tie_embeddings": (False, {"bert"}),
    "bert.model.prediction_transform": (False, {"bert"}),
    "gpt.model.tie_embeddings": (False, {"gpt"}),
    "gpt.train.lr": (0.5, {"gpt"}),
    "vit.model.patch_size": (14, {"vit"}),
    "vit.model.pooling": ("mean", {"vit"}),
    "g2p.objective.label_smoothing": (0.2, {"g2p"}),
}


def test_models_that_differ_in_a_parameter_differ_in_their_hash(raw, project):
    before = {name: logged(validate(raw), name) for name in MODELS}
    for path, (value, concerned) in CHANGES.items():
        changed = copy.deepcopy(raw)
        *sections, key = path.split(".")
        reduce(lambda part, name: part[name], sections, changed)[key] = value
        after = {name: logged(validate(changed), name) for name in MODELS}
        for what in (0, 1):  # the parameters, and their hash
            differing = {name for name in MODELS if before[name][what] != after[name][what]}
            assert differing == concerned, path


def test_a_seed_is_a_parameter_and_the_other_seeds_are_not(raw, project):
    raw["seeds"] = [0, 1]
    with Tracker("train", validate(raw), "gpt", 1) as tracker:
        pass
    assert mlflow.get_run(tracker.run_id).data.params["seeds"] == "[1]"


def test_evaluation_continues_the_run_of_the_training(small):
    with Tracker("train", small, "gpt", 0) as training:
        pass
    ended = mlflow.get_run(training.run_id).info.end_time
    with Tracker("evaluate", small, "gpt", 0, training.training_id) as evaluation:
        evaluation.metrics({"loss": 1.0})
    assert evaluation.run_id == training.run_id
    run = mlflow.get_run(training.run_id)
    assert run.data.metrics == {"gpt.loss": 1.0}
    assert run.info.status == "FINISHED"
    assert run.info.end_time == ended  # the duration is that of the training


def test_an_interrupted_training_continues_its_run_and_logs_nothing_twice(small):
    rows = [{"step": step, "loss": 1 / step} for step in range(1, 6)]
    with pytest.raises(KeyboardInterrupt), Tracker("train", small, "gpt", 0, "an-id") as first:
        first.curves(rows[:3], [])
        raise KeyboardInterrupt
    with Tracker("train", small, "gpt", 0, "an-id") as second:
        second.curves(rows[:4], [])
        second.curves(rows, [])
        second.metrics({"final": 1.0})
    with Tracker("train", small, "gpt", 0, "an-id") as third:
        third.curves(rows, [])
        third.metrics({"final": 1.0})
    assert first.run_id == second.run_id == third.run_id
    client = mlflow.MlflowClient()
    series = client.get_metric_history(first.run_id, "gpt/training/loss")
    assert [(point.step, point.value) for point in series] == [
        (row["step"], row["loss"]) for row in rows
    ]
    assert len(client.get_metric_history(first.run_id, "gpt.final")) == 1
    assert client.get_run(first.run_id).info.status == "FINISHED"


def test_the_run_of_a_killed_training_ends_as_killed(small):
    with Tracker("train", small, "gpt", 0, "finished") as finished:
        pass
    running = Tracker("train", small, "gpt", 0, "killed")
    running.__enter__()  # and never ended
    running.curves([{"step": 1, "loss": 1.0}], [])
    assert running.run_id  # when all has been sent
    time.sleep(0.5)
    noticed = int(time.time() * 1000)
    mark_killed(["killed", "finished", "unknown"])
    killed = mlflow.get_run(running.run_id).info
    assert killed.status == "KILLED"
    assert killed.start_time <= killed.end_time <= noticed - 500  # not the time when it was noticed
    assert mlflow.get_run(finished.run_id).info.status == "FINISHED"


def test_runs_of_a_temporary_copy_go_to_the_main_database(small, project, monkeypatch, tmp_path):
    main = tmp_path / "main"
    main.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(main))
    assert store.uri() == f"sqlite:///{main}/mlflow.db"


@pytest.mark.parametrize("name", ["100%20 ü?a=b#c", "Jürgen: a", "+@&"])
def test_runs_are_kept_in_a_path_with_special_characters_of_urls(project, monkeypatch, name):
    (project / "mlflow.db").unlink()
    root = project / name / "clone"
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    with mlflow.start_run(experiment_id=store.experiment_id()) as run:
        mlflow.log_text("said", "said.txt")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/said.txt") == "said"
    assert sorted(path.name for path in root.iterdir()) == [".cache", "mlartifacts", "mlflow.db"]
    assert list(project.iterdir()) == [root.parent]  # and nothing outside


def test_two_trainings_that_begin_with_new_data_at_once_share_them(small, capsys):
    """MLflow looks for the data set, then creates it: here another training does, in between."""
    meta = {"source": "a source", "title": "a title", "fingerprint": "f" * 64}
    with Tracker("train", small, "gpt", 0) as one, Tracker("train", small, "gpt", 1) as other:
        event.listen(Session, "before_flush", lambda *_: other.data(meta), once=True)
        one.data(meta)
    assert "warning" not in capsys.readouterr().err
    for tracker in (one, other):
        (used,) = mlflow.get_run(tracker.run_id).inputs.dataset_inputs
        assert used.dataset.digest == "f" * 36


def test_two_hosts_that_create_the_experiment_at_once_share_it(project, monkeypatch):
    """Another host creates it between this one's look for it and its creation."""
    look = mlflow.MlflowClient.get_experiment_by_name
    answers = iter([None])
    monkeypatch.setattr(
        mlflow.MlflowClient,
        "get_experiment_by_name",
        lambda client, name: next(answers, look(client, name)),
    )
    other = store.experiment_id()
    answers = iter([None])
    assert store.experiment_id() == other
