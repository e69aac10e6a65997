"""The whole pipeline with DVC, in a fresh repository with the files of the working tree.

One test, since each step builds on the one before: run, run again, change, change back.
"""

import json
from pathlib import Path

import mlflow
import pytest

from pipeline.paths import model_dir, read_json
from pipeline.tracking.rows import note_experiments, runs_of
from tests import repository
from tests.conftest import MODELS
from tests.repository import run


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return repository.make(tmp_path_factory.mktemp("clone") / "benchmark")


def stages_run(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def layers(folder: Path) -> dict[str, int]:
    configs = {name: folder / model_dir(name, 0) / "config.json" for name in MODELS}
    return {name: read_json(file)["architecture"]["n_layer"] for name, file in configs.items()}


def test_the_whole_pipeline(clone, monkeypatch):
    everything = [f"{stage}@{name}" for stage in ("prepare", "aggregate") for name in MODELS]
    everything += [f"{stage}@{name}-0" for stage in ("train", "evaluate") for name in MODELS]
    everything.append("report")

    # The smoke profile, chosen with one flag.
    output = run(clone, "dvc", "exp", "run", "--name", "smoke-run", "-S", "+profile=smoke")
    assert sorted(set(stages_run(output)) | prepared(output)) == sorted(everything)
    report = (clone / "reports" / "metrics.md").read_text()
    assert "Profile **smoke**" in report
    assert report.count("trained in this run") == 3
    figures = json.loads((clone / "reports" / "metrics.json").read_text())
    assert len(figures["verdicts"]) == 7
    for line in report.splitlines():
        if line.startswith("!["):
            picture = clone / "reports" / line.split("(")[1].rstrip(")")
            assert picture.read_bytes().startswith(b"\x89PNG")

    # Again: nothing to do.
    assert stages_run(run(clone, "dvc", "repro")) == []
    assert "Data and pipelines are up to date." in run(clone, "dvc", "status")

    # The output of DVC's commands.
    metrics = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    files = metrics[""]["data"].values()
    assert sorted(name for file in files for name in file["data"]) == sorted(MODELS)
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

    # A parameter of one model affects only that model.
    text = (clone / "params.yaml").read_text()
    first, rest = text.split("\ngpt:")
    rest = rest.replace("matrix_lr: 0.02", "matrix_lr: 0.03", 1)
    (clone / "params.yaml").write_text(f"{first}\ngpt:{rest}")
    changed = json.loads(run(clone, "dvc", "status", "--json"))
    assert {stage for stage in changed if "@" in stage} == {"train@gpt-0"}
    (clone / "params.yaml").write_text(text)

    # A shared one affects all three.
    output = run(clone, "dvc", "exp", "run", "--name", "deeper", "-S", "model.n_layer=3")
    assert layers(clone) == dict.fromkeys(MODELS, 3)
    assert not [stage for stage in stages_run(output) if stage.startswith("prepare")]
    assert "-S +profile=smoke -S model.n_layer=3" in (clone / "reports" / "metrics.md").read_text()

    # Back again: from DVC's cache, without training, and the report says so.
    output = run(clone, "dvc", "exp", "run", "--name", "back", "-S", "model.n_layer=2")
    assert stages_run(output) == ["report"]
    assert layers(clone) == dict.fromkeys(MODELS, 2)
    report = (clone / "reports" / "metrics.md").read_text()
    assert report.count("restored from DVC's cache, trained") == 3

    # Nor is there anything to do for an experiment that is equal to that one.
    assert stages_run(run(clone, "dvc", "exp", "run", "--name", "equal")) == []

    # Every training is a run in MLflow, and nothing else is.
    mlflow.set_tracking_uri(f"sqlite:///{clone}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["transformer-benchmark"], output_format="list")
    assert sorted(run.info.run_name for run in runs) == sorted(
        f"{name} smoke{change}" for name in MODELS
        for change in (" · smoke-run", " n_layer=3 · deeper")
    )  # fmt: skip
    assert {run.info.status for run in runs} == {"FINISHED"}

    # A row of `dvc exp show` leads to its runs and back, also where the cache spared the training.
    monkeypatch.chdir(clone)
    client = mlflow.MlflowClient()
    note_experiments(client, runs[0].info.experiment_id)
    rows = {"smoke-run": "2", "deeper": "3", "back": "2", "equal": "2", "workspace": "2"}
    for row, layers_of_row in rows.items():
        found = [client.get_run(i) for i in runs_of(client, runs[0].info.experiment_id, row)]
        assert sorted(run.data.tags["model"] for run in found) == sorted(MODELS)
        assert {run.data.params["model.n_layer"] for run in found} == {layers_of_row}
    for run_ in mlflow.search_runs(
        [runs[0].info.experiment_id], "params.`model.n_layer` = '2'", output_format="list"
    ):
        assert run_.data.tags["dvc_experiment"] == "smoke-run, back, equal"
        reports = client.list_artifacts(run_.info.run_id, "reports")
        assert [file.path for file in reports] == ["reports/back", "reports/smoke-run"]

    # An error ends the stage with a message and keeps the old outputs.
    model = (clone / model_dir("bert", 0) / "model.safetensors").read_bytes()
    (clone / "params.yaml").write_text(text.replace("n_layer: 2", "n_layer: two"))
    output = run(clone, "dvc", "repro", "train@bert-0", code=255)
    assert "model.n_layer: should be a valid integer, found str 'two'" in output
    assert "Traceback" not in output
    (clone / "params.yaml").write_text(text)
    run(clone, "dvc", "repro", "train@bert-0")
    assert (clone / model_dir("bert", 0) / "model.safetensors").read_bytes() == model


def prepared(output: str) -> set[str]:
    """Stages without changes: their outputs match the committed dvc.lock."""
    lines = [line for line in output.splitlines() if "didn't change, skipping" in line]
    return {line.split("'")[1] for line in lines}
