import copy

import pytest

from pipeline.comparison import differences, experiments
from pipeline.comparison.revisions import resolve
from pipeline.reporting import targets
from tests.pipeline.comparison import handmade
from tests.repository import save


def read(*names):
    return [experiments.read(resolve(name)) for name in names]


BERT = {"bert": {"train_loss": [4.0], "loss": [4.0]}}


def test_parameters_that_differ_are_listed_for_each_experiment(repository):
    handmade.experiment(repository, "six", change={"model.n_layer": 6, "profile": "other"})
    handmade.experiment(repository, "new", change={"gpt.data.text": "other", "model.bias": True})
    handmade.experiment(repository, "vit", change={"vit.data.images": "other"})
    found = differences.parameters(read("HEAD", "six", "new", "vit"), ["gpt"])
    assert found == {
        "model.n_layer": [4, 6, 4, 4],
        "model.bias": ["missing", "missing", True, "missing"],
        "gpt.data.text": ["hamlet", "hamlet", "other", "hamlet"],
    }


def test_prepared_data_that_differ_are_listed_by_fingerprint(repository):
    handmade.commit(repository, fingerprint="f" * 64)
    handmade.experiment(repository, "same", change={"model.n_layer": 6}, fingerprint="f" * 64)
    handmade.experiment(repository, "content", fingerprint="0123456789abcdef")
    found = differences.data(read("HEAD", "same", "content"), ["gpt"])
    assert found == {"data of gpt": ["f" * 12, "f" * 12, "0123456789ab"]}


def record(**about):
    known = {"device": "cpu", "machine": {"cpu": "one"}, "versions": {"torch": "2.0"}}
    return known | {"seconds": {"train": 1.0}, "mlflow_run_id": None} | about


def test_versions_and_devices_that_differ_are_listed(repository):
    handmade.commit(repository, record=record())
    handmade.experiment(repository, "same", record=record())
    handmade.experiment(repository, "gpu", record=record(device="cuda", versions={"torch": "2.1"}))
    found = differences.environments(read("HEAD", "same", "gpu"))
    assert found == {"device": ["cpu", "cpu", "cuda"], "torch": ["2.0", "2.0", "2.1"]}


def test_code_that_differs_is_listed_by_file(repository):
    (repository / "pipeline").mkdir()
    (repository / "pipeline" / "new.py").write_text("")
    save(repository, "Code")
    assert differences.code(read("HEAD", "HEAD~1")) == [[], ["pipeline/new.py"]]


def unlike(other, metric, model="gpt", **settings):
    """Why HEAD and an experiment are not comparable."""
    first, second = read("HEAD", other)
    return differences.unlike(first, second, model, metric, targets.load())


def test_the_same_data_and_measure_are_comparable(repository):
    handmade.experiment(repository, "other", {"gpt": {"loss": [1.0]}}, {"model.n_layer": 8})
    assert unlike("other", "loss") == []


def test_other_data_another_split_and_other_content_are_not(repository):
    handmade.experiment(repository, "text", change={"gpt.data.text": "shakespeare"})
    handmade.experiment(repository, "split", change={"gpt.data.validation_fraction": 0.5})
    handmade.experiment(repository, "content", fingerprint="another text in the same file")
    assert unlike("text", "loss") == ["gpt.data.text is shakespeare, not hamlet"]
    assert unlike("split", "loss") == ["gpt.data.validation_fraction is 0.5, not 0.1"]
    assert unlike("content", "loss") == ["gpt: the prepared data differ"]


def test_a_parameter_of_the_measurement_matters_and_one_of_training_does_not(repository):
    handmade.commit(repository, BERT)
    measuring, training = (f"bert.objective.{key}.fraction"
                           for key in ("evaluation_masking", "masking"))  # fmt: skip
    handmade.experiment(repository, "measuring", BERT, {measuring: 0.3})
    handmade.experiment(repository, "training", BERT, {training: 0.3})
    assert unlike("measuring", "loss", "bert") == [f"{measuring} is 0.3, not 0.15"]
    assert unlike("training", "loss", "bert") == []


@pytest.mark.parametrize("metric, expected", [("loss", ["gpt.loss.split is training, not a split"]),
                                              ("train_loss", [])])  # fmt: skip
def test_another_measure_concerns_its_metric_alone(repository, metric, expected):
    first, other = read("HEAD", "HEAD")
    result = copy.deepcopy(other.models["gpt"])
    result.measures["loss"] = {"split": "training"}
    other.models["gpt"] = result
    assert differences.unlike(first, other, "gpt", metric, targets.load()) == expected


def test_another_task_is_not_comparable(repository):
    first, other = read("HEAD", "HEAD")
    other.models["gpt"] = copy.deepcopy(other.models["gpt"])
    other.models["gpt"].task = "masked_lm"
    found = differences.unlike(first, other, "gpt", "loss", targets.load())
    assert found == ["the task is masked_lm, not causal_lm"]
