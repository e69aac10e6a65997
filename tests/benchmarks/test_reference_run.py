"""The benchmark of the reference's recipe, on a tiny training with the reference's own data."""

import json
import os
import re
import shutil
import statistics
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from ruamel.yaml import YAML
from safetensors.torch import load_file

from benchmarks.reference_run.__main__ import main
from pipeline import params
from pipeline.paths import model_dir, prediction_dir, read_json
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from pipeline.training import models
from pipeline.yaml_file import merge
from tests.conftest import ROOT, WITH_TARGETS, with_profile

MIRROR = os.environ.get("DATA_MIRROR")
WHY = "the reference's data are on no package index; set DATA_MIRROR"
pytestmark = pytest.mark.skipif(not MIRROR, reason=WHY)

SEEDS = [0, 1]
SMALL = {"n_layer": 1, "n_head": 2, "d_model": 16, "d_mlp": 32}
TINY = {
    "seeds": SEEDS,
    "threads": 1,
    "model": SMALL,
    # The words of english.txt are a smaller vocabulary than the reference's, and so faster.
    "bert": {
        "data": {"text": "english", "examples": "anywhere"},
        "model": SMALL,
        "train": {"steps": 1015, "batch_size": 2, "evaluate_every": 1000},
    },
    "gpt": {
        "data": {"tokenizer": "word"},
        "model": {"n_layer": 1, "n_head": 2},
        "train": {"steps": 6, "batch_size": 4, "evaluate_every": 6},
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
    raw = merge(raw, TINY)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(raw, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in WITH_TARGETS:
            prepare(params.load(), name)
            for seed in SEEDS:
                for stage in (train, evaluate):
                    stage(params.load(), name, seed)
        main(["collect", "--commit", "abc"])
        main(["page"])
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


def test_losses_with_and_without_the_causal_mask_equal_a_plain_computation(run):
    """Independently: one sequence at a time, attention by hand, over the whole validation text."""
    tokens = load_file(run / "data" / "gpt" / "tokens.safetensors")
    for training in collected(run, "gpt"):
        found = {(row["mask"], row["text"]): row for row in training["masks"]}
        metrics = read_json(run / prediction_dir("gpt", training["seed"]) / "metrics.json")
        assert found["causal", "whole"]["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
        train_loss = found["causal", "whole"]["train_loss"]
        assert train_loss == pytest.approx(metrics["train_loss"], rel=1e-5)
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
    for training in collected(run, "vit"):
        predictions = pd.read_csv(run / prediction_dir("vit", training["seed"]) / "predictions.csv")
        counts = predictions["predicted"].value_counts().to_dict()
        assert training["classes"] == counts
        rounded = {name: round(value, 4) for name, value in training["always"].items()}
        assert rounded == {"pizza": 0.2604, "steak": 0.1979, "sushi": 0.5417}
        assert training["git_commit"] == "abc"


def page(run) -> str:
    return (run / "reports" / "reference-run" / "README.md").read_text()


def cells(text: str, first: str) -> list[str]:
    """The cells of a table's row after its first one."""
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split("|")[1:]]


def test_the_page_compares_the_last_hundred_logged_iterations(run):
    columns = [
        pd.read_csv(run / model_dir("bert", seed) / "history.csv").iloc[::10].tail(100)
        for seed in SEEDS
    ]
    columns.append(pd.read_csv(ROOT / "reports" / "reference" / "bert.csv"))
    means = [float(cell) for cell in cells(page(run), "loss, mean of 100")]
    assert means == pytest.approx([c["loss"].mean() for c in columns], abs=6e-5)
    assert means[-1] == 4.3965
    deviations = [float(cell) for cell in cells(page(run), "loss, standard deviation")]
    assert deviations == pytest.approx([c["loss"].std() for c in columns], abs=6e-5)
    assert cells(page(run), "Δw, lowest to highest")[-1] == "11.20 to 13.89"
    ours = statistics.fmean(means[:-1])
    assert f"BERT ends at {ours:.3f}" in page(run)
    (difference,) = re.findall(r"The difference, \+([\d.]+), is more than", page(run))
    assert float(difference) == pytest.approx(ours - 4.3965, abs=2e-4)


def test_the_page_has_each_loss_with_its_spread(run):
    for text, where in (("ten batches", "ten random batches"), ("whole", "the whole text")):
        for mask, words in (("causal", "with the causal mask"), ("none", "without a mask")):
            values = [
                next(r["loss"] for r in t["masks"] if (r["mask"], r["text"]) == (mask, text))
                for t in collected(run, "gpt")
            ]
            mean, between, another = cells(page(run), f"{where}, {words}")[3:]
            middle = statistics.fmean(values)
            shown, margin = map(float, mean.split(" ± "))
            assert shown == pytest.approx(middle, abs=6e-5)
            # Student's t for 95% and one degree of freedom is 12.706.
            assert margin == pytest.approx(12.706 * statistics.stdev(values) / 2**0.5, abs=1e-4)
            assert between == f"{min(values):.4f} to {max(values):.4f}"
            low, high = map(float, another.split(" to "))
            width = 12.706 * statistics.stdev(values) * 1.5**0.5
            assert (low, high) == pytest.approx((middle - width, middle + width), abs=2e-4)


def losses(run: Path, folder: Path, training: float, validation: float) -> str:
    """The page, with GPT's losses without a mask around these."""
    shutil.copytree(
        run, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow*", "data", "models")
    )
    file = folder / "reports" / "reference-run" / "gpt.json"
    content = json.loads(file.read_text())
    for shift, each in zip((-0.01, 0.01), content["trainings"], strict=True):
        for row in each["masks"]:
            if row["mask"] == "none":
                row |= {"train_loss": training + shift, "loss": validation + shift}
    file.write_text(json.dumps(content))
    main(["page"])
    return page(folder)


@pytest.mark.parametrize(
    ("training", "validation", "verdict"),
    [
        (0.23, 7.03, "with the causal mask neither loss, without a mask both losses"),
        (0.23, 8.0, "with the causal mask neither loss, without a mask only the training loss"),
        (0.5, 7.03, "with the causal mask neither loss, without a mask only the validation loss"),
        (0.5, 8.0, "neither loss, with the causal mask and without it"),
    ],
)
def test_the_page_says_which_of_the_pair_is_reproduced(
    run, tmp_path, monkeypatch, training, validation, verdict
):
    monkeypatch.chdir(tmp_path)
    found = losses(run, tmp_path, training, validation)
    assert f"GPT reproduces {verdict}." in found


def test_the_page_names_what_differs_from_the_profile(run):
    assert "It differs from the profile in `bert.data.examples=anywhere`, " in page(run)
    assert "`vit.train.epochs=2`" in page(run)
    assert "lr" not in page(run).split("The reference's results")[0]


def test_the_page_counts_constant_predictors(run):
    constant = sum(len(training["classes"]) == 1 for training in collected(run, "vit"))
    assert f"**{constant} of 2 ViTs" in page(run)
    assert "23 of 23 logged" in page(run)


def test_a_missing_model_is_reported(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["page"])
    assert "bert.json is missing: run `./run python -m benchmarks" in capsys.readouterr().err
