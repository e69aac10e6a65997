"""Models that cannot be exported are refused, with all parts that are not supported."""

import pytest
from torch import nn

from tests.transformer.weights.export_cases import LLAMA, bert, gpt, vit
from tests.transformer.weights.timm_cases import vit as timm_vit
from transformer.patterns import Bidirectional, Causal
from transformer.weights import from_timm, to_huggingface


def changed(model, change):
    change(model)
    return model


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: bert(qk_norm=True), ["BertForMaskedLM does not support", "qk_norm"]),
        (
            lambda: bert(norm_position="pre", qk_norm=True, transform=False),
            ["MegatronBertForMaskedLM", "prediction_transform"],
        ),
        (lambda: bert(transform=False, mlp="gated"), ["prediction_transform", "mlp: GatedMLP"]),
        (lambda: bert(positions="rotary"), ["positions: rotary"]),
        (lambda: bert(positions="sinusoidal"), ["positions: SinusoidalPositions, not learned"]),
        (lambda: bert(n_kv_head=1), ["n_kv_head: GroupedQueryAttention"]),
        (lambda: bert(bias=False), ["bias: parts without one"]),
        (lambda: bert(norm="rmsnorm"), ["norm: RMSNorm"]),
        (lambda: gpt(layer_scale=0.1, qk_norm=True), ["GPT2LMHeadModel", "layer_scale", "qk_norm"]),
        (lambda: gpt(norm_position="post"), ["norm_position: PostNormBlock, not PreNormBlock"]),
        (lambda: gpt(**LLAMA | {"dropout": 0.1}), ["LlamaForCausalLM", "dropout outside"]),
        (lambda: gpt(positions="rotary", mlp="gated"), ["norm: LayerNorm"]),
        (lambda: vit("mean"), ["ViTForImageClassification", "pooling: MeanPooling"]),
        (lambda: vit(activation="silu", qk_norm=True), ["qk_norm"]),
        (
            lambda: vit("mean", "convolutional", qk_norm=True),
            ["stem: ConvolutionalStem, not a linear projection", "pooling: MeanPooling", "qk_norm"],
        ),
        (
            lambda: bert(transform=False, mlp="gated", qk_norm=True, norm="rmsnorm",
                         positions="rotary", layer_scale=0.1),
            ["prediction_transform", "mlp: GatedMLP", "qk_norm", "norm: RMSNorm",
             "positions: rotary", "layer_scale", "bias: parts without one"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m.blocks[1].attention, "n_head", 4)),
            ["n_head: different values, 2, 4", "d_head: different values, 6, 3"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m.blocks[1].attention, "scale", 0.3)),
            ["another scale of attention"],
        ),
        (
            lambda: changed(bert(), lambda m: setattr(m.blocks[1].dropout, "p", 0.3)),
            ["dropout: different values, 0.1, 0.3"],
        ),
        (
            lambda: changed(bert(), lambda m: setattr(m.embedding.dropout, "p", 0.3)),
            ["dropout: different in embedding and blocks"],
        ),
        (
            lambda: changed(bert(), lambda m: setattr(m.head.transform[1], "approximate", "tanh")),
            ["a head with another activation or norm than the blocks"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m.blocks[1].mlp, "activation", nn.Mish())),
            ["activation: Mish", "activation: different values, gelu, Mish"],
        ),
        (
            lambda: changed(gpt(**LLAMA), lambda m: m.blocks[0].attention.rotation.__init__(
                9, 6, scaling=lambda frequencies: frequencies / 2)),
            ["positions: another scaling of frequencies"],
        ),
        (
            lambda: changed(gpt(), lambda m: setattr(m, "pattern", Bidirectional())),
            ["pattern: Bidirectional, not Causal"],
        ),
        (
            lambda: from_timm(timm_vit(final_norm=False)()),
            ["norm: none after the last block"],
        ),
        (
            lambda: from_timm(timm_vit(pre_norm=True, drop_rate=0.1)()),
            ["norm: LayerNorm before the first block", "dropout before the classifier"],
        ),
        (
            lambda: from_timm(timm_vit(proj_drop_rate=0.1)()),
            ["activation: GELU and Dropout", "dropout: different in embedding"],
        ),
    ],
)  # fmt: skip
def test_the_error_names_all_unsupported_parts(make, parts, tmp_path):
    with pytest.raises(ValueError) as caught:
        to_huggingface(make(), tmp_path / "out")
    for part in parts:
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def of_a_subclass(model, path):
    """`model` with a subclass of the module at `path`, as if it were one of this project."""
    module = model.get_submodule(path)
    kind = type(module)
    module.__class__ = type(f"New{kind.__name__}", (kind,), {"__module__": kind.__module__})
    return model


@pytest.mark.parametrize(
    ("make", "path", "part"),
    [
        (bert, "blocks.1.attention", "n_kv_head: NewSelfAttention"),
        (gpt, "blocks.1.attention", "n_kv_head: NewSelfAttention"),
        (lambda: gpt(**LLAMA), "blocks.0.attention", "n_kv_head: NewSelfAttention"),
        (
            lambda: gpt(**LLAMA | {"n_kv_head": 1}),
            "blocks.0.attention", "n_kv_head: NewGroupedQueryAttention",
        ),
        (vit, "blocks.0.attention", "n_kv_head: NewSelfAttention"),
        (gpt, "blocks.1", "norm_position: NewPreNormBlock"),
        (gpt, "blocks.1.mlp", "mlp: NewMLP"),
        (gpt, "blocks.0.attention_norm", "norm: NewLayerNorm"),
        (gpt, "head", "no family of transformers has the head NewLanguageModelHead"),
        (vit, "head", "no family of transformers has the head NewClassificationHead"),
    ],
)  # fmt: skip
def test_a_subclass_is_not_exported_as_its_parent(make, path, part, tmp_path):
    with pytest.raises(ValueError, match=part):
        to_huggingface(of_a_subclass(make(), path), tmp_path / "out")


def test_a_pattern_of_a_subclass_is_not_exported_as_causal(tmp_path):
    class Window(Causal):
        pass

    with pytest.raises(ValueError, match="pattern: Window, not Causal"):
        to_huggingface(changed(gpt(), lambda m: setattr(m, "pattern", Window())), tmp_path / "out")
