"""The bits of short trainings with portable numerics, which all processors should have in common.

`./run python -m tests.bits` prints them; tests/bits.json has those that are expected. Processors of
other vendors can be emulated: see tests/pipeline/training/test_numerics.py. With `--full`, it
prints those of the weights after two steps of the trainings of params.yaml, with all their widths
and threads, on the data in data/. On an emulated processor this takes half an hour:

    MKL_CBWR=AVX2,STRICT ONEDNN_MAX_CPU_ISA=AVX2 \
    qemu-x86_64 -cpu EPYC .venv/bin/python -m tests.bits --full
"""
# ruff: noqa: I001

import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from tests.conftest import MODELS, ROOT, generate_data, small_settings  # it chooses the numerics

import torch

from pipeline.data import decoding
from pipeline.params import Params, load, validate
from pipeline.paths import data_dir, sha256, write_json
from pipeline.stages.prepare import prepare
from pipeline.tasks.assembly import assemble
from pipeline.training.loop import NoCheckpoint, training_step
from pipeline.training.observer import Observer
from pipeline.training.optimizers import build
from pipeline.yaml_file import merge
from transformer.losses import linear_cross_entropy

EXPECTED = Path(__file__).with_name("bits.json")
# All kernels that decide weights, in few trainings.
VARIANTS: dict[str, dict[str, Any]] = {
    # As in params.yaml, with dropout.
    "muon": {"model": {"dropout": 0.1, "embedding_dropout": 0.1, "mlp_dropout": 0.1}},
    # Inner dimensions that MKL sums in another order on another processor: more than 192, in an MLP
    # of 256 and in attention to 200 tokens. Convolutions, mixed images, sampled softmax.
    "adamw": {
        "model": {
            "d_model": 32, "d_mlp": 256, "norm": "rmsnorm", "positions": "rotary", "mlp": "gated",
            "activation": "silu", "n_kv_head": 1, "bias": False, "qk_norm": True,
        },
        "train": {"optimizer": "adamw", "weight_decay": 0.1, "accumulate": 2},
        "bert": {"objective": {"sampled_softmax": {"frequent": 2, "random": 3}}},
        "gpt": {"data": {"sequence_length": 200}, "train": {"batch_size": 2}},
        "vit": {
            "data": {"image_size": 16},
            "objective": {"augmentation": "photos", "mixup": 0.8, "cutmix": 1.0},
            "model": {"stem": "convolutional", "pooling": "mean"},
        },
    },
}  # fmt: skip


def trainings() -> Iterator[tuple[str, dict[str, str]]]:
    """Train each model in each variant, in the working directory; yields a name, and the hashes of
    its data, weights, curves and metrics."""
    generate_data(Path())
    raw = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    # Two threads divide small products, in other ways on processors of other vendors.
    raw = small_settings(raw) | {"device": "cpu", "numerics": "portable", "threads": 2}
    for variant, changes in VARIANTS.items():
        params = validate(merge(raw, changes))
        for name in MODELS:
            yield f"{name} {variant}", _hashes(params, name)
    adam = validate(merge(raw, {"train": {"optimizer": "adam", "weight_decay": 0.1}}))
    for name in MODELS:
        yield f"{name} adam", _hashes(adam, name)
    yield "vocabulary", _vocabulary()
    yield "photograph", _photograph()


def _hashes(params: Params, name: str) -> dict[str, str]:
    data, folder = Path("data") / name, Path("model")
    prepare(params, name)
    training = assemble(params, name, 0, data)
    trained = training.train(NoCheckpoint(), Observer(), 4)
    trained.save(folder, {})
    write_json(training.task.evaluate(trained.model.eval()), folder / "metrics.json")
    files = sorted(data.glob("*.safetensors")) + [
        folder / file for file in ("model.safetensors", "history.csv", "metrics.json")
    ]
    return {file.name: sha256(file) for file in files}


def _vocabulary() -> dict[str, str]:
    """The loss over many words, which have a kernel of their own, and its gradients."""
    random = torch.Generator().manual_seed(0)
    shapes = {"hidden": (600, 40), "weight": (4100, 40), "bias": (4100,)}
    inputs = [torch.randn(shape, generator=random).requires_grad_() for shape in shapes.values()]
    labels = torch.randint(4100, (600,), generator=random)
    loss = linear_cross_entropy(*inputs, labels)
    results = zip(["loss", *shapes], [loss, *torch.autograd.grad(loss, inputs)], strict=True)
    return {name: _hash([result]) for name, result in results}


def _photograph() -> dict[str, str]:
    """A JPEG with fewer colours than pixels, as cameras write it, decoded and resized."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((301, 401)).save(file, "JPEG", subsampling="4:2:0")
    photograph = decoding.decode("photograph", file.getvalue())
    images = {"decoded": np.asarray(photograph), "resized": decoding.resize(photograph, 64)}
    return {name: hashlib.sha256(image.tobytes()).hexdigest() for name, image in images.items()}


def _hash(tensors: Iterable[torch.Tensor]) -> str:
    """The SHA-256 of their bytes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().numpy().tobytes())
    return found.hexdigest()


def full_steps() -> Iterator[tuple[str, dict[str, str]]]:
    """Two steps of each training of params.yaml; yields its name, and the hash of the weights."""
    params = load().model_copy(update={"device": "cpu"})
    for name in params.model_names:
        training = assemble(params, name, params.seeds[0], data_dir(name))
        model = training.task.build_model().train()
        optimizers = build(model, training.settings)
        for step in (1, 2):
            training_step(model, training.task, optimizers, training.settings, step)
        yield name, {"weights": _hash(model.parameters())}


def main() -> None:
    """Print the hashes as JSON."""
    sys.stdout, out = sys.stderr, sys.stdout
    if sys.argv[1:] == ["--full"]:
        hashes = dict(full_steps())
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            hashes = dict(trainings())
    print(json.dumps(hashes, indent=2), file=out)


if __name__ == "__main__":
    main()
