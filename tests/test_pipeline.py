"""The whole pipeline with DVC, in a fresh repository with the files of the working tree.

The tests follow each other in one clone: run, run again, change, change back.
"""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from pipeline.paths import model_dir, read_json
from pipeline.tracking.rows import note_experiments, runs_of
from tests.conftest import MODELS
from tests.repository import run, stages_run


@pytest.fixture(scope="module")
def clone(smoke, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "benchmark"
    return shutil.copytree(smoke[0], folder, symlinks=True)


def layers(folder: Path) -> dict[str, int]:
    configs = {name: folder / model_dir(name, 0) / "config.json" for name in MODELS}
    return {name: read_json(file)["architecture"]["n_layer"] for name, file in configs.items()}


def trainings(folder: Path) -> list:
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    return mlflow.search_runs(experiment_names=["transformer-benchmark"], output_format="list")


def test_a_profile_runs_every_stage_and_makes_the_report(smoke, clone):
    _, output = smoke
    everything = [f"{stage}@{name}" for stage in ("prepare", "aggregate") for name in MODELS]
    everything += [f"{stage}@{name}-0" for stage in ("train", "evaluate") for name in MODELS]
    assert sorted(stages_run(output)) == sorted([*everything, "report"])
    report = (clone / "reports" / "metrics.md").read_text()
    assert "Profile **smoke" in report
    assert report.count("trained in this run") == len(MODELS)
    metrics = json.loads((clone / "reports" / "metrics.json").read_text())
    assert len(metrics["verdicts"]) == 7
    for line in report.splitlines():
        if line.startswith("!["):
            picture = clone / "reports" / line.split("(")[1].rstrip(")")
            assert picture.read_bytes().startswith(b"\x89PNG")


def test_after_it_nothing_is_left_to_do(clone):
    assert stages_run(run(clone, "dvc", "repro")) == []
    assert "Data and pipelines are up to date." in run(clone, "dvc", "status")


def test_dvc_shows_metrics_parameters_plots_and_experiments(clone):
    metrics = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    files = metrics[""]["data"].values()
    assert {name for file in files for name in file["data"]} == set(MODELS)
    run(clone, "dvc", "metrics", "diff")
    assert "n_layer" in run(clone, "dvc", "params", "diff")
    assert "train@vit-0" in run(clone, "dvc", "dag")
    run(clone, "dvc", "plots", "show")
    page = (clone / "dvc_plots" / "index.html").read_text()
    for title in ("BERT: loss", "GPT: loss", "ViT: confusion matrix"):
        assert title in page
    shown = run(clone, "dvc", "exp", "show", "--only-changed", "--csv")
    assert "smoke-run" in shown
    assert ",bert.loss,bert.top1,bert.train_loss,gpt.loss," in shown


def test_a_parameter_of_one_model_affects_that_model_alone(clone):
    text = (clone / "params.yaml").read_text()
    first, rest = text.split("\ngpt:")
    rest = rest.replace("matrix_lr: 0.02", "matrix_lr: 0.03", 1)
    (clone / "params.yaml").write_text(f"{first}\ngpt:{rest}")
    changed = json.loads(run(clone, "dvc", "status", "--json"))
    assert {stage for stage in changed if "@" in stage} == {"train@gpt-0"}
    (clone / "params.yaml").write_text(text)


def test_an_error_ends_the_stage_with_a_message_and_keeps_the_old_outputs(clone):
    text = (clone / "params.yaml").read_text()
    model = (clone / model_dir("bert", 0) / "model.safetensors").read_bytes()
    (clone / "params.yaml").write_text(text.replace("n_layer: 2", "n_layer: two"))
    output = run(clone, "dvc", "repro", "train@bert-0", code=255)
    assert "model.n_layer: should be a valid integer, found str 'two'" in output
    assert "Traceback" not in output
    (clone / "params.yaml").write_text(text)
    run(clone, "dvc", "repro", "train@bert-0")
    assert (clone / model_dir("bert", 0) / "model.safetensors").read_bytes() == model


@pytest.mark.long
def test_a_shared_parameter_trains_all_models_and_the_way_back_none(clone):
    output = run(clone, "dvc", "exp", "run", "--name", "deeper", "-S", "model.n_layer=3")
    assert layers(clone) == dict.fromkeys(MODELS, 3)
    assert not [stage for stage in stages_run(output) if stage.startswith("prepare")]
    assert "-S +profile=smoke -S model.n_layer=3" in (clone / "reports" / "metrics.md").read_text()

    # Back again: from DVC's cache, and the report says so.
    output = run(clone, "dvc", "exp", "run", "--name", "back", "-S", "model.n_layer=2")
    assert stages_run(output) == ["report"]
    assert layers(clone) == dict.fromkeys(MODELS, 2)
    report = (clone / "reports" / "metrics.md").read_text()
    assert report.count("restored from DVC's cache, trained") == len(MODELS)

    # Nor is there anything to do for an experiment that is equal to that one.
    assert stages_run(run(clone, "dvc", "exp", "run", "--name", "equal")) == []


@pytest.mark.long
def test_every_training_is_a_run_in_mlflow_and_nothing_else_is(clone):
    runs = trainings(clone)
    assert sorted(run.info.run_name for run in runs) == sorted(
        f"{name} smoke{change}" for name in MODELS
        for change in (" · smoke-run", " n_layer=3 · deeper")
    )  # fmt: skip
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.long
def test_a_row_of_dvc_exp_show_leads_to_its_runs_and_back(clone, monkeypatch):
    """Also where DVC's cache spared the training."""
    monkeypatch.chdir(clone)
    experiment = trainings(clone)[0].info.experiment_id
    client = mlflow.MlflowClient()
    note_experiments(client, experiment)
    rows = {"smoke-run": "2", "deeper": "3", "back": "2", "equal": "2", "workspace": "2"}
    for row, layers_of_row in rows.items():
        found = [client.get_run(each) for each in runs_of(client, experiment, row)]
        assert sorted(run.data.tags["model"] for run in found) == sorted(MODELS)
        assert {run.data.params["model.n_layer"] for run in found} == {layers_of_row}
    shallow = "params.`model.n_layer` = '2'"
    for each in mlflow.search_runs([experiment], shallow, output_format="list"):
        assert each.data.tags["dvc_experiment"] == "smoke-run, back, equal"
        reports = client.list_artifacts(each.info.run_id, "reports")
        assert [file.path for file in reports] == ["reports/back", "reports/smoke-run"]
