"""Trains every task in the processes of a launcher, and prints checksums of the results.

    torchrun --nproc-per-node 2 -m tests.pipeline.training.worlds 4 result.json

with 4 micro-batches a step, in a folder with params.yaml and prepared data; test_processes.py
compares numbers of processes.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.params import Params, load, validate
from pipeline.paths import data_dir
from pipeline.running.joining import joined
from pipeline.tasks.assembly import assemble
from pipeline.training.loop import NoCheckpoint
from pipeline.training.observer import Observer
from pipeline.training.processes import Processes
from pipeline.yaml_file import merge
from tests.conftest import MODELS

# In BERT a micro-batch may have no masked token at all.
MASKING = {"fraction": 0.05, "selection": "independent"}
SAMPLED = {"random": 4}
# With clipping that has an effect, dropout in every task, and the streams of random numbers that
# the default recipe leaves out. ViT's last batch of an epoch has fewer images than micro-batches.
SHARED = {
    "model": {"n_layer": 2, "dropout": 0.1, "embedding_dropout": 0.1},
    "train": {"clip_norm": 0.1},
}
RECIPES: dict[str, dict[str, Any]] = {
    "muon": {"train": {"optimizer": "muon"}},
    "adamw": {
        "train": {"optimizer": "adamw", "weight_decay": 0.1},
        "bert": {"objective": {"sampled_softmax": SAMPLED, "masking": MASKING}},
        "gpt": {"objective": {"sampled_softmax": SAMPLED}},
        "vit": {
            "objective": {"mixup": 0.8, "cutmix": 1.0},
            "model": {"stem": "convolutional", "patch_size": 4},
            "train": {"batch_size": 12},
        },
        "g2p": {"train": {"precision": "bf16"}},
    },
}  # fmt: skip


def trainings(params: Params, accumulate: int, sharded: bool) -> Iterator[tuple[str, str, Params]]:
    """Recipe, model and parameters of each training."""
    for recipe, changes in RECIPES.items():
        for name in MODELS:
            content = merge(params.content(), SHARED)
            content["gpt"]["model"] |= SHARED["model"]
            content = merge(content, changes)
            content["train"] |= {"accumulate": accumulate, "fully_shard": sharded}
            yield recipe, name, validate(content)


def checksums(
    params: Params, accumulate: int, processes: Processes, sharded: bool = False
) -> dict[str, str]:
    """SHA-256 of the weights, rows of all steps and evaluations of each training."""
    found = {}
    for recipe, name, changed in trainings(params, accumulate, sharded):
        training = assemble(changed, name, 0, data_dir(name), processes)
        trained = training.train(NoCheckpoint(), Observer())
        if not processes.first:
            continue
        digest = hashlib.sha256()
        for parameter in trained.model.parameters():
            digest.update(parameter.detach().cpu().numpy().tobytes())
        rows = trained.history.steps + trained.history.evaluations
        digest.update(json.dumps(rows).encode())
        found[f"{recipe} {name}"] = digest.hexdigest()
    return found


if __name__ == "__main__":
    with joined() as together:
        result = checksums(load(), int(sys.argv[1]), together, "sharded" in sys.argv)
        if together.first:
            Path(sys.argv[2]).write_text(json.dumps(result))
