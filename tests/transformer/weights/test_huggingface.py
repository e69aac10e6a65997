"""Models of transformers: equal outputs and gradients, and nothing ignored."""

import pytest

from tests.transformer.weights.huggingface_cases import CASES
from tests.transformer.weights.parity import errors


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found
