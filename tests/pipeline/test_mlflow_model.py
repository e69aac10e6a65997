"""Predictions of the MLflow model for texts with unknown words."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.training import models
from tests.conftest import ROOT, build

UNSEEN = ["ZORBLAX 🍕 数 [MASK]", "\x00 \ufeff [MASK] \u202e", "[MASK]" * 8]


@pytest.fixture
def predictor(small, project):
    """A function that builds the untrained model `name` as MLflow loads it, and its objective."""

    def load(name):
        from pipeline.mlflow_model import TrainedTransformer

        prepare(small, name)
        objective = build(name, small, 0, data_dir(name), torch.device("cpu"))
        about = {"task": objective.section.task}
        models.save(objective.build_model(), about, project / "model")
        kept = {
            "model": project / "model",
            "meta": data_dir(name) / "meta.json",
            "tokenizer": data_dir(name) / "tokenizer.json",
            "code": ROOT,
        }
        loaded = TrainedTransformer()
        loaded.load_context(SimpleNamespace(artifacts={k: str(v) for k, v in kept.items()}))
        return loaded, objective

    return load


pytestmark = pytest.mark.filterwarnings("ignore:[\\s\\S]*type hint:UserWarning")  # MLflow's


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_unseen_words_are_taken_as_unknown_words(predictor, name):
    loaded, objective = predictor(name)
    predictions = loaded.predict(None, pd.DataFrame({"text": UNSEEN}))
    known = set(objective.tokens.tokenizer.get_vocab())
    for answer in predictions:
        words = answer[0] if name == "bert" else answer
        assert {word for word, _ in words} <= known
        assert 0 < sum(chance for _, chance in words) <= 1 + 1e-6


def test_texts_are_read_as_the_commands_read_them(predictor, project):
    """In both Unicode forms, and with BERT's mask as the only special token."""
    written = (project / "text.txt").read_text()
    (project / "text.txt").write_text(written.replace("king", "señor").replace("sea", "mask"))
    composed, apart = "the señor [MASK]", "the sen\N{COMBINING TILDE}or [MASK]"
    plain = "the señor ? mask ?"  # unknown brackets
    for name, texts in (("bert", (composed, apart)), ("gpt", (composed, apart, plain))):
        loaded, _ = predictor(name)
        first, *others = loaded.predict(None, pd.DataFrame({"text": texts}))
        assert all(other == first for other in others)
