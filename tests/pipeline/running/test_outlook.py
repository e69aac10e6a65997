"""The estimate of the remaining training."""

import pytest
import torch

import transformer
from pipeline.params import validate
from pipeline.paths import data_dir, model_dir, write_json
from pipeline.running import outlook, progress, records
from pipeline.stages.prepare import prepare
from pipeline.stages.train import train
from transformer import TokensAt, flops_per_step

META = {
    "bert": {"vocabulary_size": 23_268, "sequence_length": 20},
    "gpt": {"vocabulary_size": 30_522, "sequence_length": 64},
    "vit": {"image_size": 28, "train_images": 4_000},
}
WHOLE = {"frequent": 0, "random": 0}  # the softmax over the whole vocabulary


def test_the_estimate_is_close_to_what_torch_counts(raw):
    for name in ("bert", "gpt"):
        raw[name]["objective"]["sampled_softmax"] = WHOLE
    params = validate(raw)
    bert, gpt, vit = (
        params.section("bert").train,
        params.section("gpt").train,
        params.section("vit").train,
    )
    hidden = round(0.4 * bert.batch_size * 20)
    with torch.device("meta"):
        words = torch.zeros(bert.batch_size, 20, dtype=torch.long)
        pieces = torch.zeros(gpt.batch_size, 64, dtype=torch.long)
        images = torch.zeros(4_000, 1, 28, 28)
        masked = TokensAt(torch.zeros(hidden, dtype=torch.long))

        def counted(name, *inputs, **sizes):
            shape = params.section(name).architecture
            return flops_per_step(getattr(transformer, name)(shape, **sizes), *inputs)

        expected = {
            "bert": bert.steps * counted("bert", words, masked, vocabulary_size=23_268, length=20),
            "gpt": gpt.steps * counted("gpt", pieces, vocabulary_size=30_522, length=64),
            "vit": vit.epochs
            * counted("vit", images, image_size=28, patch_size=7, channels=1, classes=10),
        }
    for name, flops in expected.items():
        assert outlook.work(params, name, META[name]) == pytest.approx(flops, rel=0.1), name


def test_a_sampled_softmax_takes_less_time(raw):
    raw["gpt"]["objective"]["sampled_softmax"] = WHOLE
    whole = outlook.work(validate(raw), "gpt", META["gpt"])
    raw["gpt"]["objective"]["sampled_softmax"] = {"frequent": 4_096, "random": 1_024}
    sampled = validate(raw)
    d_model = sampled.section("gpt").architecture.d_model
    tokens = sampled.section("gpt").train.steps * sampled.section("gpt").train.batch_size * 64
    saved = 6.0 * tokens * d_model * (30_522 - 5_120)
    assert outlook.work(sampled, "gpt", META["gpt"]) == pytest.approx(whole - saved)


def seeds(params, *wanted):
    return validate(params.content() | {"seeds": list(wanted)})


@pytest.fixture
def prepared(raw, project):
    """Prepared data with only the fields that the estimate needs."""
    for name, meta in META.items():
        write_json(meta | {"fingerprint": name}, data_dir(name) / "meta.json")
    return validate(raw)


def test_a_training_by_hand_is_followed_by_nothing(prepared):
    assert outlook.after(seeds(prepared, 3, 1), "bert", 3) == 0


def test_under_dvc_the_other_seeds_follow(prepared, monkeypatch):
    monkeypatch.setattr(progress, "whole", lambda: True)
    three = seeds(prepared, 3, 1, 2)
    left = [outlook.after(three, "vit", seed) for seed in (3, 1, 2)]
    assert left == pytest.approx([2, 1, 0])


def test_under_dvc_the_other_models_follow(prepared, monkeypatch):
    monkeypatch.setattr(progress, "whole", lambda: True)
    bert, gpt, vit = (outlook.work(prepared, name, meta) for name, meta in META.items())
    assert outlook.after(prepared, "bert", 0) == pytest.approx((gpt + vit) / bert)
    assert outlook.after(prepared, "gpt", 0) == pytest.approx(vit / gpt)
    assert outlook.after(prepared, "vit", 0) == 0


def test_a_model_that_was_trained_before_does_not_follow(small, monkeypatch):
    for name in ("gpt", "vit"):
        prepare(small, name)
    monkeypatch.setattr(progress, "whole", lambda: True)
    assert outlook.after(small, "gpt", 0) > 0
    train(small, "vit", 0)
    assert outlook.after(small, "gpt", 0) == 0
    assert records.read("train", "vit-0", model_dir("vit", 0) / "model.safetensors")["identity"]
