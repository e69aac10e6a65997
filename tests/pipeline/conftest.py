"""Fixtures: a project with the three models, and the commands."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from pipeline import provenance
from pipeline.cli import main
from pipeline.params import Params, validate
from pipeline.paths import data_dir, model_dir
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices
from pipeline.training import models
from tests.conftest import MODELS, build


@pytest.fixture
def built(small):
    """models/<name> and data/<name>."""
    build_models(small)


def build_models(small: Params) -> None:
    """Make untrained models and data with the default recipe, except BERT's norms."""
    raw = small.content()
    raw["bert"]["model"]["norm_position"] = "post"
    params = validate(raw)
    with open("params.yaml", "w") as file:
        YAML().dump(params.content(), file)
    device = devices.prepare(params.device, params.threads, params.numerics)
    for name in MODELS:
        prepare(params, name)
        objective = build(name, params, 0, data_dir(name), device)
        model = objective.build_model()
        about = {"task": params.section(name).task}
        about["data"] = provenance.fingerprints(data_dir(name))
        models.save(model, about, model_dir(name, 0))


@pytest.fixture
def run(project) -> Callable[..., Result]:
    """Run a command in the project; code: the expected exit code."""

    def invoke(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result

    return invoke
