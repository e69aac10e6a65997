"""torchvision's VisionTransformer: equal outputs and gradients."""

import pytest
from torch import nn
from torchvision.models.vision_transformer import ConvStemConfig

from tests.transformer.weights.parity import errors
from tests.transformer.weights.timm_cases import vit as timm_vit
from tests.transformer.weights.torchvision_cases import CASES, vit, with_heads
from transformer.weights import from_torchvision


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found


def test_what_ours_has_not_is_refused_by_name():
    stem = [ConvStemConfig(out_channels=8, kernel_size=3, stride=4)]
    with pytest.raises(ValueError, match="conv_proj: a convolutional stem is not supported"):
        from_torchvision(vit(conv_stem_configs=stem)())
    with pytest.raises(ValueError, match=r"^expected a torchvision.*, not a torch.*\.Linear$"):
        from_torchvision(nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"^expected a torchvision.*, not a timm"):
        from_torchvision(timm_vit()())
    with pytest.raises(ValueError, match="heads: a classifier without a bias is not supported"):
        from_torchvision(with_heads(lambda: nn.Linear(30, 3, bias=False))())
    with pytest.raises(ValueError, match="heads: Sequential in place of Linear is not supported"):
        from_torchvision(with_heads(lambda: nn.Sequential(nn.Linear(30, 3), nn.ReLU()))())
    with pytest.raises(ValueError, match="image_size: 2 x 2 pixels are smaller than a patch"):
        from_torchvision(vit()(), image_size=2)


def test_dropout_that_was_taken_out_is_none():
    model = vit(dropout=0.1)()
    for layer in model.encoder.layers:
        layer.mlp[2] = layer.mlp[4] = layer.dropout = nn.Identity()
    assert from_torchvision(model).blocks[0].dropout.p == 0.0
    model.encoder.layers[0].dropout = nn.Dropout(0.3)
    with pytest.raises(ValueError, match=r"different dropout \[0\.3, 0\.0\] in its branches is"):
        from_torchvision(model)
    model.encoder.layers[0].dropout = nn.Dropout1d(0.3)
    with pytest.raises(ValueError, match=r"\.dropout: Dropout1d in place of Dropout is not"):
        from_torchvision(model)


def test_dropout_is_taken_along():
    ours = from_torchvision(vit(dropout=0.1, attention_dropout=0.2)())
    block = ours.blocks[0]
    assert (block.attention.dropout, block.dropout.p, block.mlp.activation[1].p) == (0.2, 0.1, 0.1)
    assert ours.embedding.dropout.p == 0.1
