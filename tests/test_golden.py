"""The default recipes still follow their golden curves, and a changed recipe does not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.params import validate
from pipeline.stages.prepare import prepare
from pipeline.training import numerics
from pipeline.yaml_file import flatten
from tests import golden
from tests.conftest import MODELS
from transformer import initialization


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The default data of all models, from the project's cache."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(golden.ROOT))
        for name in MODELS:
            prepare(golden.load(), name, folder / name)
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_the_first_steps_are_the_golden_curve(data, name):
    made = golden.curve(golden.load(), name, data / name)
    difference = golden.difference(golden.read(name), made)
    assert difference is None, f"{name}: {difference}.\n{golden.ADVICE}"


# For each change, the cheapest model, and the fewest steps that show it.
CHANGES = [
    ("vit", "vit.train.lr", 0.00204, 2),
    ("vit", "vit.train.matrix_lr", 0.0102, 2),
    ("vit", "vit.train.betas", [0.9, 0.999], 3),
    ("vit", "vit.train.weight_decay", 0.01, 3),
    ("vit", "vit.train.clip_norm", 5.0, 3),
    ("vit", "vit.train.warmup_steps", 21, 2),
    ("vit", "vit.train.optimizer", "adamw", 2),
    ("vit", "vit.train.batch_size", 65, 1),
    ("vit", "vit.objective.augmentation", "none", 1),
    ("vit", "vit.objective.label_smoothing", 0.01, 1),
    ("vit", "vit.objective.mixup", 0.8, 1),
    ("vit", "vit.objective.cutmix", 1.0, 1),
    ("vit", "vit.model.pooling", "mean", 1),
    ("vit", "model.activation", "gelu_tanh", 2),
    ("vit", "model.positions", "sinusoidal", 1),
    ("vit", "model.norm_position", "post", 1),
    ("vit", "model.qk_norm", True, 1),
    ("vit", "model.dropout", 0.01, 1),
    ("vit", "model.embedding_dropout", 0.01, 1),
    ("vit", "model.mlp_dropout", 0.01, 1),
    ("vit", "seeds", [1], 1),
    ("g2p", "g2p.train.lr", 0.00612, 2),
    ("g2p", "g2p.objective.label_smoothing", 0.01, 1),
    ("bert", "bert.objective.masking.fraction", 0.45, 1),
    ("bert", "bert.objective.masking.selection", "independent", 1),
    ("bert", "bert.objective.masking.replacement", "mask", 1),
    ("gpt", "gpt.objective.label_smoothing", 0.105, 1),
    ("gpt", "gpt.objective.smooth_towards", "uniform", 1),
    ("gpt", "gpt.objective.sampled_softmax.random", 256, 1),
    ("bert", "bert.objective.sampled_softmax.random", 512, 1),
    ("gpt", "gpt.model.dropout", 0.102, 1),
    ("gpt", "gpt.model.embedding_dropout", 0.102, 1),
    ("vit", "model.initialization", "torch", 1),
    ("vit", "vit.model.head_bias", False, 2),
]


@pytest.mark.parametrize(
    ("name", "key", "value", "steps"), CHANGES, ids=[f"{c[1]}={c[2]}" for c in CHANGES]
)
def test_a_changed_recipe_leaves_the_golden_curve(data, name, key, value, steps):
    content = golden.load().content()
    assert flatten(content).get(key) != value
    _put(content, key, value)
    made = golden.curve(validate(content), name, data / name, steps)
    assert golden.difference(golden.read(name), made)


def test_another_initialization_leaves_the_golden_curve(data, monkeypatch):
    monkeypatch.setattr(initialization, "STD", 0.0202)
    made = golden.curve(golden.load(), "vit", data / "vit", 1)
    assert golden.difference(golden.read("vit"), made)


@pytest.mark.long
def test_another_processor_stays_on_the_golden_curve(data):
    """This CPU, restricted to the vector instructions of SSE, with torch's own kernels."""
    code = """
import sys
from pathlib import Path
from pipeline.training import numerics
numerics.choose = numerics.use = lambda kind: None
from tests import golden
import torch
assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
made = golden.curve(golden.load(), "vit", Path(sys.argv[1]))
sys.exit(golden.difference(golden.read("vit"), made))
"""
    older = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    }
    command = [sys.executable, "-c", code, str(data / "vit")]
    own = {key: value for key, value in os.environ.items() if key not in numerics.PORTABLE}
    subprocess.run(command, cwd=golden.ROOT, env=own | older, check=True)


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        content = content[section]
    content[last] = value
