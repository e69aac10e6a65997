import json
from pathlib import Path

import pytest

from pipeline.comparison import experiments
from pipeline.comparison.revisions import resolve
from pipeline.errors import UserError
from tests.pipeline.comparison import handmade
from tests.repository import save

FILE = Path("reports/metrics.json")


def test_it_has_the_metrics_of_each_seed(repository):
    handmade.commit(repository, {"gpt": {"loss": [2.0, 3.0]}, "vit": {"accuracy": [0.5, 0.25]}})
    found = experiments.read(resolve("HEAD"))
    assert found.headline == {"gpt": ["loss"], "vit": ["accuracy"]}
    assert list(found.models) == ["gpt", "vit"]
    assert found.models["vit"].values("accuracy") == [0.5, 0.25]


def test_standard_deviations_are_no_metrics(repository):
    means = {"gpt": {"loss": 1.0, "loss_std": 0.1}}
    Path("reports/gpt/metrics.json").write_text(json.dumps(means))
    assert experiments.read(resolve("workspace")).headline == {"gpt": ["loss"]}


def test_a_revision_without_results_is_refused(repository):
    with pytest.raises(UserError, match=r"HEAD~1 has no results: reports/metrics.json is missing"):
        experiments.read(resolve("HEAD~1"))


def test_a_report_of_other_parameters_is_refused(repository):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("n_layer: 4", "n_layer: 6"))
    save(repository, "Other parameters")
    with pytest.raises(UserError, match="HEAD: its report was made with other parameters"):
        experiments.read(resolve("HEAD"))
    experiments.read(resolve("HEAD~1"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content.pop("models"), "models: field required"),
        (lambda content: content["models"].pop("gpt"), "models.gpt: not a training for each"),
        (lambda content: content["params"].pop("model_names"), "model_names: field required"),
        (
            lambda content: content["params"].update(seeds=[0, 1]),
            "not a training for each of .0,",
        ),
        (lambda content: content.update(params=[]), "params: input should be a valid dict"),
        (lambda content: content["models"]["gpt"].pop("trainings"), "models.gpt.trainings: field"),
    ],
)
def test_a_report_of_another_version_is_refused(repository, damage, reason):
    content = json.loads(FILE.read_text())
    damage(content)
    FILE.write_text(json.dumps(content))
    message = rf"workspace: {FILE} is not a report of this version of the program\n  .*{reason}"
    with pytest.raises(UserError, match=message):
        experiments.read(resolve("workspace"))


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'"\xe9"'])
def test_a_file_that_is_no_report_is_refused(repository, content):
    FILE.write_bytes(content)
    with pytest.raises(UserError, match=r"workspace: .* is not a report of this version"):
        experiments.read(resolve("workspace"))


@pytest.mark.parametrize("content", [None, "{}", '{"gpt": {"loss": "low"}}'])
def test_metrics_of_another_model_are_refused(repository, content):
    file = Path("reports/gpt/metrics.json")
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(UserError, match=rf"workspace: .*\n  {file}: not the metrics of gpt"):
        experiments.read(resolve("workspace"))
