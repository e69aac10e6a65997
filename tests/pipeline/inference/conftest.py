"""Fixtures: a project with the three models, and the commands."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from pipeline import MODELS, models, provenance
from pipeline.cli import main
from pipeline.objectives import build
from pipeline.params import Params, validate
from pipeline.paths import data_dir, model_dir
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices


@pytest.fixture
def built(small):
    """models/<name> and data/<name>."""
    build_models(small)


def build_models(small: Params) -> None:
    """Make untrained models and data with the default recipe, except BERT's norms."""
    raw = small.model_dump(exclude_none=True)
    raw["bert"]["model"]["norm_position"] = "post"
    params = validate(raw)
    device = devices.prepare(params)
    for name in MODELS:
        prepare(params, name)
        objective = build(name, params, 0, data_dir(name), device)
        model = objective.build_model()
        noted = {"data": provenance.fingerprints(data_dir(name))}
        models.save(model, objective.model_config | noted, model_dir(name, 0))


@pytest.fixture
def run(project) -> Callable[..., Result]:
    """Run a command in the project; code: the expected exit code."""

    def invoke(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result

    return invoke
