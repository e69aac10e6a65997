"""The stages in one process on small data: outputs and errors."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.paths import model_dir, prediction_dir, read_json
from pipeline.stages.aggregate import aggregate
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.tracking.store import EXPERIMENT
from tests.conftest import MODELS, log_evaluation


@pytest.fixture
def trained(small):
    """All models, prepared, trained and evaluated."""
    for name in MODELS:
        prepare(small, name)
        train(small, name, 0)
        evaluate(small, name, 0)
        log_evaluation(small, name)
        aggregate(small, name)
    return small


def test_the_stages_leave_what_dvc_expects(trained, project):
    for name in MODELS:
        history = pd.read_csv(project / "models" / name / "seed-0" / "history.csv")
        summary = read_json(model_dir(name, 0) / "summary.json")
        assert history["step"].tolist() == list(range(1, summary["steps"] + 1))
        validation = pd.read_csv(project / "models" / name / "seed-0" / "validation.csv")
        assert validation["step"].iloc[-1] == summary["steps"]
        shown = read_json(project / "reports" / name / "metrics.json")
        metrics = read_json(prediction_dir(name, 0) / "metrics.json")
        assert shown[name].items() <= metrics.items()
        assert all(np.isfinite(value) for value in metrics.values())
    assert not any((project / ".checkpoints").glob("*"))  # none remain after success


def test_the_final_validation_is_the_evaluation(trained, project):
    """The loop's last evaluation and that of the saved model give the same numbers."""
    common = {}
    for name in MODELS:
        last = pd.read_csv(project / "models" / name / "seed-0" / "validation.csv").iloc[-1]
        metrics = read_json(prediction_dir(name, 0) / "metrics.json")
        common[name] = metrics.keys() & last.keys()
        expected = {key: metrics[key] for key in common[name]}
        assert last[list(expected)].to_dict() == pytest.approx(expected, rel=1e-5)
    assert common == {
        "bert": {"train_loss", "loss", "top1"},
        "gpt": {"train_loss", "loss"},
        "vit": {"loss", "accuracy", "batch_loss", "batch_accuracy"},
        "g2p": {"loss"},
    }


def test_a_curve_in_mlflow_has_one_value_at_each_step(trained, project):
    """The final evaluation and the last one during training have the same name and step."""
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    client = mlflow.MlflowClient()
    for run in mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list"):
        name = run.data.tags["model"]
        validation = pd.read_csv(project / "models" / name / "seed-0" / "validation.csv")
        for key in validation.columns[2:]:
            points = client.get_metric_history(run.info.run_id, f"{name}.{key}")
            found = {(point.step, round(point.value, 6)) for point in points}
            assert [step for step, _ in sorted(found)] == validation["step"].tolist(), key


def test_a_second_training_gives_the_same_bytes(trained, project):
    assert not any((project / ".checkpoints").glob("*"))  # no checkpoint to load
    for name in MODELS:
        files = [model_dir(name, 0) / "model.safetensors"]
        files += [
            project / "models" / name / "seed-0" / f"{kind}.csv"
            for kind in ("history", "validation")
        ]
        first = [file.read_bytes() for file in files]
        train(trained, name, 0)
        assert [file.read_bytes() for file in files] == first


def test_one_mlflow_run_per_model_with_series_data_and_a_model_that_predicts(trained, project):
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list")
    assert sorted(run.info.run_name for run in runs) == sorted(MODELS)
    client = mlflow.MlflowClient()
    inputs = {
        "bert": ["the king and the [MASK] of"],
        "gpt": ["the king and", "the sea"],
        "vit": np.zeros((2, 3, 8, 8), dtype=np.uint8),
        "g2p": ["kat", "tessa"],
    }
    for run in runs:
        name = run.data.tags["model"]
        assert run.info.status == "FINISHED"
        assert run.data.tags["stage"] == "train"
        assert run.data.params["model.n_head"] == "2"
        history = pd.read_csv(project / "models" / name / "seed-0" / "history.csv")
        series = client.get_metric_history(run.info.run_id, f"{name}/training/loss")
        assert [point.step for point in series] == history["step"].tolist()
        assert [point.value for point in series] == pytest.approx(history["loss"], rel=1e-5)
        meta = json.loads((project / "data" / name / "meta.json").read_text())
        (dataset,) = run.inputs.dataset_inputs
        assert meta["fingerprint"].startswith(dataset.dataset.digest)
        # What `dvc exp show` has as columns, under the same names and with the same values.
        compared = json.loads((project / "reports" / name / "metrics.json").read_text())
        columns = {f"{name}.{key}": value for key, value in compared[name].items()}
        assert columns.items() <= run.data.metrics.items()
        assert all(key.startswith((f"{name}.", f"{name}/training/")) for key in run.data.metrics)
        validation = pd.read_csv(project / "models" / name / "seed-0" / "validation.csv")
        evaluations = client.get_metric_history(run.info.run_id, f"{name}.loss")
        assert {point.step for point in evaluations} == set(validation["step"])
        address = f"models:/transformer-benchmark-{name}@newest"
        predicted = mlflow.pyfunc.load_model(address).predict(inputs[name])
        assert len(predicted) == len(inputs[name])
        best = predicted[0][0] if name == "bert" else predicted[0]
        chances = [chance for _, chance in best]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) <= 1 + 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_a_stage_before_its_time_says_what_to_run_first(small, name):
    with pytest.raises(UserError, match=rf"data/{name} is missing: run `dvc repro prepare@{name}`"):
        train(small, name, 0)
    prepare(small, name)
    missing = rf"models/{name}/seed-0 is missing: run `dvc repro train@{name}-0`"
    with pytest.raises(UserError, match=missing):
        evaluate(small, name, 0)


def test_a_failed_prepare_leaves_the_old_output_alone(small, project):
    prepare(small, "gpt")
    before = (project / "data" / "gpt" / "tokens.safetensors").read_bytes()
    (project / "text.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        prepare(small, "gpt")
    assert (project / "data" / "gpt" / "tokens.safetensors").read_bytes() == before
