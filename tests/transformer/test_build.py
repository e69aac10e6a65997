"""BERT, GPT and ViT are one class, initialized as in their papers."""

import math

import pytest
import torch

import transformer
from transformer import Architecture, TokensAt, Transformer
from transformer.layers import LayerScale

SMALL = Architecture(n_layer=3, n_head=2, d_model=64, d_mlp=128)


def all_three(architecture: Architecture) -> list[Transformer]:
    return [
        transformer.bert(architecture, 50, 12),
        transformer.gpt(architecture, 50, 12),
        transformer.vit(architecture, 8, 4, channels=1, classes=3),
    ]


def test_the_three_models_are_of_one_class():
    assert {type(model) for model in all_three(SMALL)} == {Transformer}


@pytest.mark.parametrize("norm_position", ["pre", "post"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"qk_norm": True},
        {"norm": "rmsnorm", "mlp": "gated", "activation": "silu", "n_kv_head": 1},
        {"bias": False, "layer_scale": 0.1},
    ],
)
def test_every_variant_runs_forwards_and_backwards(norm_position, positions, variant):
    architecture = Architecture(
        2, 2, 8, 16, dropout=0.1, norm_position=norm_position, positions=positions, **variant
    )
    bert, gpt, vit = all_three(architecture)
    tokens = torch.randint(50, (2, 12))
    outputs = {
        bert: bert(tokens, keep=TokensAt(torch.tensor([0, 13]))),
        gpt: gpt(tokens),
        vit: vit(torch.randn(2, 1, 8, 8)),
    }
    assert [tuple(o.shape) for o in outputs.values()] == [(2, 50), (2, 12, 50), (2, 3)]
    for model, output in outputs.items():
        output.sum().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_each_dropout_acts_where_it_says():
    """Records the modules that draw: the embedding, the hidden layer of an MLP, the branches."""

    def dropouts(**probabilities):
        model = transformer.bert(Architecture(2, 2, 8, 16, **probabilities), 50, 12)
        modules = {k: m.p for k, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}
        found = {key for key, p in modules.items() if p}
        return found | {f"{i} attention" for i, b in enumerate(model.blocks) if b.attention.dropout}

    assert dropouts() == set()
    assert dropouts(embedding_dropout=0.1) == {"embedding.dropout"}
    assert dropouts(mlp_dropout=0.1) == {f"blocks.{i}.mlp.activation.1" for i in (0, 1)}
    branches = {f"blocks.{i}.dropout" for i in (0, 1)}
    assert dropouts(dropout=0.1) == branches | {f"{i} attention" for i in (0, 1)}


def test_heads_can_have_no_bias():
    bert = transformer.bert(SMALL, 50, 12, head_bias=False)
    vit = transformer.vit(SMALL, 8, 4, channels=1, classes=3, head_bias=False)
    assert (bert.head.decoder.bias, vit.head.classifier.bias) == (None, None)


def test_every_part_of_the_architecture_is_in_encoder_and_decoder():
    parts = Architecture(2, 4, 16, 32, qk_norm=True, n_kv_head=2, layer_scale=0.1)
    model = transformer.encoder_decoder(parts, 40, 50, 12)
    for blocks, attentions in ((model.encoder.blocks, 1), (model.blocks, 2)):
        for block in blocks:
            modules = list(block.modules())
            assert sum(isinstance(m, LayerScale) for m in modules) == attentions + 1
            assert sum(isinstance(m, torch.nn.RMSNorm) for m in modules) == attentions
            keys = [m.kv.out_features for m in modules if hasattr(m, "kv")]
            assert keys == [2 * 2 * 4] * attentions
    tokens = torch.randint(40, (2, 5))
    model(tokens, source=tokens).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_encoder_decoder_is_the_same_class_and_looks_at_its_source():
    torch.manual_seed(0)
    model = transformer.encoder_decoder(SMALL, 40, 50, 12).eval()
    assert type(model) is type(model.encoder) is Transformer
    source, tokens = torch.randint(40, (2, 9)), torch.randint(50, (2, 12))
    output = model(tokens, source=source)
    assert output.shape == (2, 12, 50)
    assert not torch.allclose(output, model(tokens, source=source.flip(1)))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[:, 6:] = False
    padded = model(tokens, source=source, source_mask=mask)
    torch.testing.assert_close(padded, model(tokens, source=source[:, :6]))
    output.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    gpt = transformer.gpt(SMALL, 50, 12)
    with pytest.raises(ValueError, match="this model has an encoder"):
        model(tokens)
    for given in ({"source": source}, {"source_mask": mask}):
        with pytest.raises(ValueError, match="needs an encoder, which this model does not"):
            gpt(tokens, **given)
    residual = 0.02 / math.sqrt(3 * 3)
    crossing = model.blocks[0].cross_attention.out.weight
    assert crossing.std().item() == pytest.approx(residual, rel=0.05)


@pytest.mark.parametrize(("given", "found"), [(0, 3), (1, 1), (5, 5)])
def test_the_decoder_can_have_its_own_number_of_blocks(given, found):
    model = transformer.encoder_decoder(SMALL, 40, 50, 12, n_decoder_layer=given)
    assert (len(model.encoder.blocks), len(model.blocks)) == (3, found)
    residual = 0.02 / math.sqrt(3 * found)  # of the decoder's own projections
    assert model.blocks[0].mlp.down.weight.std().item() == pytest.approx(residual, rel=0.05)


def test_initial_weights_have_the_deviations_of_gpt2():
    model = transformer.gpt(SMALL, 500, 12)
    assert model.embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)
    block = model.blocks[0]
    assert block.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    residual = 0.02 / math.sqrt(2 * 3)
    for projection in (block.attention.out, block.mlp.down):
        assert projection.weight.std().item() == pytest.approx(residual, rel=0.05)
        assert (projection.bias == 0).all()


def test_the_generator_alone_decides_the_weights():
    def weights(seed: int, outside: int) -> torch.Tensor:
        torch.manual_seed(outside)
        generator = torch.Generator().manual_seed(seed)
        model = transformer.gpt(SMALL, 50, 12, generator=generator)
        return torch.cat([p.flatten() for p in model.parameters()])

    torch.testing.assert_close(weights(1, 1), weights(1, 2), rtol=0, atol=0)
    assert not torch.equal(weights(1, 1), weights(2, 1))


def test_tied_weights_are_one_tensor():
    for tie in (True, False):
        model = transformer.gpt(SMALL, 50, 12, tie_embeddings=tie)
        assert (model.head.decoder.weight is model.embedding.weight) is tie


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Architecture(1, 3, 8, 16), "`d_model`: 8 is not divisible by `n_head`"),
        (
            lambda: Architecture(1, 1, 7, 16, positions="sinusoidal"),
            "needs an even `d_model`, not 7",
        ),
        (lambda: Architecture(1, 2, 6, 16, positions="rotary"), "heads of even width, not 3"),
        (
            lambda: Architecture(1, 4, 8, 16, n_kv_head=3),
            "4 is not divisible by `n_kv_head`, 3",
        ),
        (lambda: Architecture(0, 4, 8, 16), "`n_layer`: 0 should be greater than 0"),
        (lambda: Architecture(1, 4, 8, 2**30), "`d_mlp`: 1073741824 should be at most 262144"),
        (lambda: Architecture(1, 4, 8, 16, dropout=-0.1), "`dropout`: -0.1 should be at least 0"),
        (
            lambda: Architecture(1, 4, 8, 16, mlp_dropout=1),
            "1 should be less than 1",
        ),
        (lambda: Architecture(1, 4, 8, 16, norm="none"), "'none' should be one of layernorm, rms"),
        (lambda: transformer.vit(SMALL, 10, 4, 1, 2), "10 is not divisible by `patch_size`, 4"),
        (
            lambda: transformer.vit(SMALL, 12, 6, 1, 2, stem="convolutional"),
            "`patch_size`: 6, but `stem` 'convolutional' needs a power of two",
        ),
    ],
)
def test_what_does_not_fit_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
