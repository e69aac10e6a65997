"""The whole model: padding, order, and learning."""

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer import Architecture

ARCHITECTURE = Architecture(n_layer=2, n_head=2, d_model=16, d_mlp=32)


def test_a_padded_row_equals_the_row_alone():
    model = transformer.bert(ARCHITECTURE, 20, 6).eval()
    tokens = torch.randint(20, (1, 6))
    mask = torch.tensor([[True] * 4 + [False] * 2])
    torch.testing.assert_close(model(tokens, mask)[:, :4], model(tokens[:, :4]))


def test_gpt_does_not_see_the_future():
    model = transformer.gpt(ARCHITECTURE, 20, 6).eval()
    tokens = torch.randint(20, (2, 6))
    changed = tokens.clone()
    changed[:, 3:] = (changed[:, 3:] + 1) % 20
    torch.testing.assert_close(model(tokens)[:, :3], model(changed)[:, :3])


def test_without_positions_bert_is_equivariant_to_permutations():
    model = transformer.bert(ARCHITECTURE, 20, 6).eval()
    with torch.no_grad():
        model.embedding.positions.weight.zero_()
    tokens, order = torch.randint(20, (2, 6)), torch.randperm(6)
    torch.testing.assert_close(model(tokens)[:, order], model(tokens[:, order]))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_it_learns_a_batch_by_heart(pooling):
    torch.manual_seed(0)
    model = transformer.vit(ARCHITECTURE, 8, 4, channels=1, classes=4, pooling=pooling)
    images, labels = torch.randn(16, 1, 8, 8), torch.randint(4, (16,))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(images).argmax(1) == labels).all()
