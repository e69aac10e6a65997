"""A saved model is the same model: outputs, types, tied weights and configuration."""

import pickle

import pytest
import torch
from torch import nn

import transformer
from tests.transformer.weights.torch_nn_cases import CASES
from transformer import Architecture
from transformer.parts import ACTIVATIONS
from transformer.patterns import Bidirectional
from transformer.saving import build
from transformer.weights import from_torch

SMALL = Architecture(2, 2, 8, 16, n_kv_head=1, positions="rotary", dropout=0.1)
TOKENS = torch.tensor([[1, 2, 3]])
MODELS = {
    "bert": (lambda: transformer.bert(SMALL, 9, 5, prediction_transform=True), (TOKENS,), {}),
    "gpt": (lambda: transformer.gpt(SMALL, vocabulary_size=9, length=5), (TOKENS,), {}),
    "not tied": (lambda: transformer.gpt(SMALL, 9, 5, tie_embeddings=False), (TOKENS,), {}),
    "vit": (
        lambda: transformer.vit(SMALL, 8, 4, 1, 3, "mean", stem="convolutional"),
        (torch.ones(1, 1, 8, 8),), {},
    ),
    "encoder_decoder": (
        lambda: transformer.encoder_decoder(SMALL, 7, 9, 5, n_decoder_layer=1),
        (TOKENS,), {"source": TOKENS},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_loaded_model_computes_the_same(name, dtype, tmp_path):
    make, inputs, source = MODELS[name]
    model = make().to(dtype).eval()
    transformer.save(model, tmp_path / "model.pt")
    before = torch.get_rng_state()
    loaded = transformer.load(tmp_path / "model.pt")
    assert torch.equal(torch.get_rng_state(), before)
    inputs = tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)
    assert torch.equal(loaded(*inputs, **source), model(*inputs, **source))
    assert len(list(loaded.parameters())) == len(list(model.parameters()))
    assert loaded.config == model.config
    assert not loaded.training


def test_the_configuration_builds_the_same_weights():
    first = transformer.gpt(SMALL, 9, 5, generator=torch.Generator().manual_seed(3))
    second = build(first.config, torch.Generator().manual_seed(3))
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="kind: 'rnn' is unknown; expected one of bert, gpt, vit"):
        build(first.config | {"kind": "rnn"})


def replace_the_activation(model):
    model.blocks[1].mlp.activation = ACTIVATIONS["silu"]()


def untie(model):
    model.head.decoder.weight = nn.Parameter(model.head.decoder.weight.detach().clone())


CHANGES = {
    "blocks.1.mlp.activation": replace_the_activation,
    "blocks.0.attention": lambda model: setattr(model.blocks[0].attention, "n_head", 4),
    "blocks.0.dropout": lambda model: setattr(model.blocks[0].dropout, "p", 0.2),
    "the model": lambda model: setattr(model, "pattern", Bidirectional()),
    "head.decoder": lambda model: setattr(model.head, "decoder", nn.Linear(8, 9)),
    "blocks": lambda model: model.blocks.__delitem__(1),
    "parameters shared": untie,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_was_changed_is_refused_by_name(name, tmp_path):
    model = transformer.gpt(SMALL, 9, 5)
    CHANGES[name](model)
    with pytest.raises(ValueError, match=f"^{name}.*not as its configuration describes it"):
        transformer.save(model, tmp_path / "model.pt")
    assert not any(tmp_path.iterdir())


def test_an_imported_model_is_refused(tmp_path):
    model = from_torch(CASES[0].make())
    with pytest.raises(ValueError, match="only a model built by bert, gpt, vit, encoder_decoder"):
        transformer.save(model, tmp_path / "model.pt")


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({"weights": {}}, file)
    with pytest.raises(ValueError, match=r"weights\.pt: expected a file of transformer\.save"):
        transformer.load(file)
    torch.save(nn.Linear(1, 1), file)  # code that a file brings along is not run
    with pytest.raises(pickle.UnpicklingError):
        transformer.load(file)
