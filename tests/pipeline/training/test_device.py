"""The device of params.yaml."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.training import device as devices


@pytest.mark.parametrize(
    ("build", "advice"),
    [(None, "; use auto or cpu, or `rm -r .venv && TORCH_BUILD=cuda ./run`"),
     ("13.0", "; use auto or cpu")],
)  # fmt: skip
def test_a_gpu_that_is_not_seen_is_reported_with_what_to_do(monkeypatch, build, advice):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    with pytest.raises(UserError) as caught:
        devices.prepare("cuda", 2)
    assert str(caught.value) == f"params.yaml: device: cuda, but torch sees no CUDA GPU{advice}"
