"""All three models train with every variant in params.yaml, and every optimizer."""

import pytest

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.training import device as devices
from pipeline.training import optimizers
from pipeline.training.loop import training_step
from tests.conftest import MODELS, build

LLAMA = {
    "norm": "rmsnorm", "positions": "rotary", "n_kv_head": 1, "mlp": "gated",
    "activation": "silu", "bias": False, "rope_theta": 500.0, "norm_eps": 1e-6,
}  # fmt: skip
VARIANTS = {
    "llama": LLAMA,
    "post-norm": {"norm_position": "post"},
    "convolutional stem": {"stem": "convolutional"},
    "layer scale": {"layer_scale": 0.1, "positions": "sinusoidal", "qk_norm": True},
}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_trains(small, variant, optimizer):
    raw = small.content()
    for key, value in VARIANTS[variant].items():
        (raw["model"] if key in raw["model"] else raw["vit"]["model"])[key] = value
    for name in MODELS:
        raw[name]["train"]["optimizer"] = optimizer
    raw["bert"]["model"]["prediction_transform"] = True
    params = validate(raw)
    device = devices.prepare(params.device, params.threads, params.numerics)
    for name in MODELS:
        prepare(params, name)
        objective = build(name, params, 0, data_dir(name), device)
        model, settings = objective.build_model().train(), params.section(name).train
        steps = optimizers.build(model, settings)
        losses = [
            training_step(model, objective, steps, settings, 1)["loss"].item() for _ in range(4)
        ]
        assert losses[-1] < losses[0]  # on the batch that it was trained on
