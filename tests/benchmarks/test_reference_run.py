"""The benchmark of the reference's recipe, on a tiny training with the reference's own data."""

import json
import os
import shutil

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from ruamel.yaml import YAML
from safetensors.torch import load_file

from benchmarks.reference_run.__main__ import main
from pipeline import MODELS, models, params
from pipeline.paths import model_dir, prediction_dir, read_json
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from tests.conftest import ROOT, merge, with_profile

MIRROR = os.environ.get("DATA_MIRROR")
WHY = "the reference's data are on no package index; set DATA_MIRROR"
pytestmark = pytest.mark.skipif(not MIRROR, reason=WHY)

SEEDS = [0, 1]
SMALL = {"n_layer": 1, "n_head": 2, "d_model": 16, "d_mlp": 32}
TINY = {
    "seeds": SEEDS,
    "model": SMALL,
    "bert": {"model": SMALL, "train": {"steps": 1015, "batch_size": 2, "evaluate_every": 500}},
    "gpt": {
        "model": {"n_layer": 1, "n_head": 2},
        "train": {"steps": 6, "batch_size": 4, "evaluate_every": 3},
    },
    "vit": {"data": {"image_size": 32}, "train": {"epochs": 2}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A project with the tiny run, collected, and its page."""
    folder = tmp_path_factory.mktemp("run")
    for name in ("profile", "reports/reference"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "reports" / "targets.yaml", folder / "reports")
    yaml = YAML(typ="safe", pure=True)
    raw = with_profile(yaml.load((ROOT / "params.yaml").read_text()), "reference")
    merge(TINY, raw)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(raw, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in MODELS:
            for stage in (prepare, train, evaluate):
                stage(params.load(), name)
        main(["collect", "--commit", "abc"])
        yield folder


def collected(run, name):
    return json.loads((run / "reports" / "reference-run" / f"{name}.json").read_text())["trainings"]


def curve(run, name):
    return pd.read_csv(run / "reports" / "reference-run" / f"{name}.csv")


def test_curves_are_those_of_the_trainings(run):
    for seed in SEEDS:
        history = pd.read_csv(run / model_dir("bert", seed) / "history.csv")
        ours = curve(run, "bert")
        ours = ours[ours["seed"] == seed]
        assert ours["iteration"].tolist() == list(range(0, 1015, 10))
        assert ours["loss"].tolist() == history["loss"][::10].tolist()
        assert ours["delta_w"].tolist() == history["delta_w"][::10].tolist()


def test_losses_with_and_without_the_causal_mask(run):
    """Independently: one sequence at a time, attention by hand, over the whole validation text."""
    tokens = load_file(run / "data" / "gpt" / "tokens.safetensors")
    for training in collected(run, "gpt"):
        found = {(row["mask"], row["text"]): row for row in training["masks"]}
        figures = read_json(run / prediction_dir("gpt", training["seed"]) / "figures.json")
        assert found["causal", "whole"]["loss"] == pytest.approx(figures["loss"], rel=1e-5)
        train_loss = found["causal", "whole"]["train_loss"]
        assert train_loss == pytest.approx(figures["train_loss"], rel=1e-5)
        weights, _ = models.load(run / model_dir("gpt", training["seed"]))
        text = tokens["validation"].long()
        count = (len(text) - 1) // 64
        inputs = text[: count * 64].view(count, 64)
        labels = text[1 : count * 64 + 1].view(count, 64)
        for mask in ("causal", "none"):
            expected = by_hand(weights, inputs, labels, mask == "causal")
            assert found[mask, "whole"]["loss"] == pytest.approx(expected, rel=1e-4)
        assert found["causal", "whole"]["loss"] != found["none", "whole"]["loss"]
        for row in training["masks"]:
            whole = found[row["mask"], "whole"]
            for key in ("train_loss", "loss"):
                assert row[key] == pytest.approx(whole[key], rel=0.02)


@torch.no_grad()
def by_hand(model, inputs, labels, causal):
    """The loss of a GPT of one block with two heads, with attention as matrix products."""
    block, width = model.blocks[0], model.norm.weight.numel()
    x = model.embedding(inputs)
    q, k, v = (
        part.view(*part.shape[:2], 2, width // 2).transpose(1, 2)
        for part in block.attention.qkv(block.attention_norm(x)).split(width, dim=-1)
    )
    scores = q @ k.transpose(2, 3) / (width // 2) ** 0.5
    if causal:
        later = torch.ones(64, 64, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + block.attention.out(attended)
    mlp = block.mlp
    x = x + mlp.down(mlp.up(block.mlp_norm(x)).relu())
    logits = model.norm(x) @ model.head.decoder.weight.T
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten()).item()


def test_a_constant_vit_is_recognised(run):
    predictions = pd.read_csv(run / "predictions" / "vit" / "predictions.csv")
    for training in collected(run, "vit"):
        ours = predictions[predictions["seed"] == training["seed"]]
        counts = ours["predicted"].value_counts().to_dict()
        assert training["classes"] == counts
        rounded = {name: round(value, 4) for name, value in training["always"].items()}
        assert rounded == {"pizza": 0.2604, "steak": 0.1979, "sushi": 0.5417}
        assert training["git_commit"] == "abc"
