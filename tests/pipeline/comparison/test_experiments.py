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


def test_a_revision_without_results(repository):
    with pytest.raises(UserError, match=r"HEAD~1 has no results: reports/metrics.json is missing"):
        experiments.read(resolve("HEAD~1"))


def test_a_report_of_other_parameters(repository):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("n_layer: 4", "n_layer: 6"))
    save(repository, "Other parameters")
    with pytest.raises(UserError, match="HEAD: its report was made with other parameters"):
        experiments.read(resolve("HEAD"))
    experiments.read(resolve("HEAD~1"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("models"),
        lambda content: content["models"].pop("gpt"),
        lambda content: content["params"].pop("model_names"),
        lambda content: content.update(params=[]),
        lambda content: content["models"]["gpt"].pop("trainings"),
    ],
)
def test_a_report_of_another_version(repository, damage):
    content = json.loads(FILE.read_text())
    damage(content)
    for text in (json.dumps(content), "no JSON", "[]"):
        FILE.write_text(text)
        with pytest.raises(UserError, match=r"workspace: .* is not a report of this version"):
            experiments.read(resolve("workspace"))
