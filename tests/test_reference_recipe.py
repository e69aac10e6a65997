"""The profile `reference` is the reference's recipe: its first iteration looks like the public
logs of the exercise."""

import os

import pytest
import torch
from torch import nn

from pipeline.params import validate
from pipeline.stages.prepare import prepare
from pipeline.tasks.assembly import assemble
from pipeline.training.loop import NoCheckpoint
from pipeline.training.observer import Observer
from tests.conftest import ROOT, with_profile
from transformer import bert
from transformer.patterns import BlockInputs

MIRROR = os.environ.get("DATA_MIRROR")


@pytest.mark.skipif(not MIRROR, reason="t8.shakespeare.txt is on no package index")
def test_the_first_iteration_of_bert_is_that_of_the_public_logs(raw, tmp_path, monkeypatch):
    """Public logs of four repositories begin with a loss of 10.20 to 10.33 and Δw of 1.14 to 1.22.
    Their code on this text gives 10.24 to 10.34 and 0.84 to 0.94 (four seeds of the
    initialisation), ours 10.17 to 10.22 and 0.80 to 0.97. Others are far off: tied embeddings
    begin with 77.8 and 201, weights of standard deviation 0.02 with 10.12 and 25.4.
    """
    monkeypatch.chdir(ROOT)
    params = validate(with_profile(raw, "reference"))
    prepare(params, "bert", tmp_path / "bert")
    training = assemble(params, "bert", 0, tmp_path / "bert")
    history = training.train(NoCheckpoint(), Observer(), 1).history
    (first,) = history.steps
    assert 10.1 < first["loss"] < 10.4
    assert 0.75 < first["delta_w"] < 1.25


def test_its_blocks_are_torchs_own_with_the_norm_first(raw):
    """nn.TransformerEncoderLayer(norm_first=True, activation="relu") with the same weights gives
    the same outputs, with dropout at the same places: attention, MLP and branches."""
    architecture = validate(with_profile(raw, "reference")).section("bert").architecture
    ours = bert(architecture, 50, 20, head_bias=False).eval()
    theirs = nn.TransformerEncoderLayer(
        128, 8, 512, dropout=0.1, activation="relu", batch_first=True, norm_first=True
    ).eval()
    block = ours.blocks[0]
    theirs.load_state_dict(
        {
            f"{name}.{part}": module.get_parameter(part).detach()
            for name, module in {
                "self_attn.out_proj": block.attention.out,
                "linear1": block.mlp.up,
                "linear2": block.mlp.down,
                "norm1": block.attention_norm,
                "norm2": block.mlp_norm,
            }.items()
            for part in ("weight", "bias")
        }
        | {
            "self_attn.in_proj_weight": block.attention.qkv.weight.detach(),
            "self_attn.in_proj_bias": block.attention.qkv.bias.detach(),
        }
    )
    x = torch.randn(3, 20, 128)
    torch.testing.assert_close(block(x, BlockInputs()), theirs(x), rtol=1e-5, atol=1e-5)
    assert block.mlp.activation[1].p == theirs.dropout.p
    assert block.dropout.p == theirs.dropout1.p == theirs.dropout2.p
    assert block.attention.dropout == theirs.self_attn.dropout
    assert ours.embedding.dropout.p == 0
