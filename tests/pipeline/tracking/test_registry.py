"""The registry: aliases for the newest and the best model; each training is registered once."""

import mlflow
import pytest

from pipeline.params import validate
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.tracking import store
from pipeline.tracking.registry import BEST, NEWEST, registered_name
from tests.conftest import log_evaluation


def trained(params, **settings) -> str:
    """Train and evaluate GPT with other training settings; returns its newest version."""
    raw = params.content()
    raw["gpt"]["train"] |= settings
    prepare(validate(raw), "gpt")
    train(validate(raw), "gpt", 0)
    evaluate(validate(raw), "gpt", 0)
    log_evaluation(validate(raw), "gpt")
    return alias(NEWEST).version


def alias(name: str):
    mlflow.set_tracking_uri(store.default())
    return mlflow.MlflowClient().get_model_version_by_alias(registered_name("gpt"), name)


@pytest.fixture
def client(project):
    store.experiment_id()
    return mlflow.MlflowClient()


def test_the_best_model_is_chosen_among_those_on_the_same_data(small, project, client):
    good = trained(small, lr=0.01)
    assert alias(BEST).version == good
    worse = trained(small, lr=1e-9, matrix_lr=1e-9)
    assert worse != good
    assert (alias(NEWEST).version, alias(BEST).version) == (worse, good)
    log_evaluation(small_with(small, lr=1e-9, matrix_lr=1e-9), "gpt")  # again
    assert len(client.search_model_versions(f"name = '{registered_name('gpt')}'")) == 2
    # A loss on another text is not comparable.
    words = (project / "text.txt").read_text()
    (project / "text.txt").write_text(words.replace("king", "queen queen"))
    other = trained(small, lr=1e-9, matrix_lr=1e-9)
    assert (alias(NEWEST).version, alias(BEST).version) == (other, other)
    version = alias(BEST)
    assert mlflow.get_run(version.run_id).data.metrics["gpt.loss"] == float(version.tags["loss"])
    loaded = mlflow.pyfunc.load_model(f"models:/{registered_name('gpt')}@{BEST}")
    assert len(loaded.predict(["the king and"])) == 1


def small_with(params, **settings):
    raw = params.content()
    raw["gpt"]["train"] |= settings
    return validate(raw)
