"""Predictions for texts that the vocabulary does not know."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from pipeline import models
from pipeline.objectives import build
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare

UNSEEN = ["ZORBLAX 🍕 数 [MASK]", "\x00 \ufeff [MASK] \u202e", "[MASK]" * 8]


@pytest.mark.filterwarnings("ignore:[\\s\\S]*type hint:UserWarning")  # MLflow's, at its import
@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_unseen_words_are_taken_as_unknown_words(small, project, name):
    from pipeline.mlflow_model import TrainedTransformer

    prepare(small, name)
    objective = build(name, small, 0, data_dir(name), torch.device("cpu"))
    models.save(objective.build_model(), objective.model_config, project / "model")
    kept = {
        "model": project / "model",
        "meta": data_dir(name) / "meta.json",
        "tokenizer": data_dir(name) / "tokenizer.json",
    }
    predictor = TrainedTransformer()
    predictor.load_context(SimpleNamespace(artifacts={k: str(v) for k, v in kept.items()}))
    predictions = predictor.predict(None, pd.DataFrame({"text": UNSEEN}))
    known = set(objective.tokens.tokenizer.get_vocab())
    for answer in predictions:
        words = answer[0] if name == "bert" else answer
        assert {word for word, _ in words} <= known
        assert 0 < sum(chance for _, chance in words) <= 1 + 1e-6
