"""Import and export accept only exactly known classes; the error names any other part."""

import copy
import re
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from transformers import BertForMaskedLM, MegatronBertForMaskedLM, ViTForImageClassification

import transformer
from tests.transformer.weights import huggingface_cases as huggingface
from tests.transformer.weights import timm_cases, torch_nn_cases, torchvision_cases
from transformer import Architecture
from transformer.weights import (
    from_huggingface,
    from_timm,
    from_torch,
    from_torchvision,
    to_huggingface,
)

OURS = Architecture(n_layer=2, n_head=2, d_model=12, d_mlp=20)
LLAMA = Architecture(2, 2, 12, 20, norm="rmsnorm", activation="silu", mlp="gated",
                     positions="rotary", n_kv_head=1, bias=False)  # fmt: skip


def exported(model: nn.Module) -> None:
    """Nothing is written before all parts are checked."""
    to_huggingface(model, "/nowhere/to/be/written")


# A model with all known parts, and its import or export.
WAYS = {
    "timm": (timm_cases.vit(init_values=0.1, pre_norm=True), from_timm),
    "torchvision": (torchvision_cases.vit(representation_size=11), from_torchvision),
    "torch": (torch_nn_cases.whole(), from_torch),
    "BERT": (huggingface.bert(BertForMaskedLM), from_huggingface),
    "Megatron's BERT": (huggingface.bert(MegatronBertForMaskedLM), from_huggingface),
    "GPT-2": (huggingface.gpt2(), from_huggingface),
    "Llama": (huggingface.llama(), from_huggingface),
    "ViT": (huggingface.vit(ViTForImageClassification), from_huggingface),
    "our BERT": (lambda: transformer.bert(OURS, 23, 9, prediction_transform=True), exported),
    "our GPT": (lambda: transformer.gpt(OURS, 23, 9), exported),
    "our Llama": (lambda: transformer.gpt(LLAMA, 23, 9), exported),
    "our ViT": (lambda: transformer.vit(OURS, 12, 4, 1, 5), exported),
}


def refusal(convert: Callable, model: nn.Module) -> str:
    with pytest.raises(ValueError) as caught:
        convert(model)
    return str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_a_subclass_is_refused_in_the_place_of_every_part(way):
    """A subclass may compute something else; here it doubles the output."""
    make, convert = WAYS[way]
    model = make().eval()
    for name, part in model.named_modules():
        kind = type(part)
        doubled = {"forward": lambda self, *x, **given: 2 * super(type(self), self)(*x, **given)}
        part.__class__ = type(kind.__name__, (kind,), doubled)
        said = refusal(convert, model)
        block = ".".join(name.split(".")[:2])
        assert block in said or name.split(".")[0] in said, (name, said)
        part.__class__ = kind


def hooked(part: nn.Module) -> None:
    part.register_forward_hook(lambda module, inputs, output: 2 * output)


def patched(part: nn.Module) -> None:
    forward = part.forward
    part.forward = lambda *inputs: 2 * forward(*inputs)


def pruned(part: nn.Module) -> None:
    prune.l1_unstructured(part, "weight", 0.5)


# A linear layer of each model, with the name expected in the error.
MATRICES = {
    "timm": "blocks.1.attn.qkv",
    "torchvision": "encoder.layers.encoder_layer_1.mlp.0",
    "torch": "decoder.layers.1.linear2",
    "BERT": "bert.encoder.layer.1.output.dense",
    "Llama": "model.layers.1.mlp.up_proj",
    "our BERT": "blocks.1.attention.qkv",
    "our ViT": "head.classifier",
}


@pytest.mark.parametrize("change", [hooked, patched, pruned, parametrizations.weight_norm])
@pytest.mark.parametrize("way", MATRICES)
def test_a_matrix_that_does_more_is_refused_by_name(way, change):
    make, convert = WAYS[way]
    model = make()
    change(model.get_submodule(MATRICES[way]))
    assert MATRICES[way] in refusal(convert, model)


def hooked_backward(part: nn.Module) -> None:
    part.register_full_backward_hook(lambda module, inputs, outputs: inputs)


def hooked_before_backward(part: nn.Module) -> None:
    part.register_full_backward_pre_hook(lambda module, outputs: outputs)


def hooked_gradient(part: nn.Module) -> None:
    part.weight.register_hook(lambda gradient: 2 * gradient)


def hooked_sum_of_gradients(part: nn.Module) -> None:
    part.weight.register_post_accumulate_grad_hook(lambda weight: None)


IMPORTED = [way for way in MATRICES if not way.startswith("our")]


@pytest.mark.parametrize(
    "change", [hooked_backward, hooked_before_backward, hooked_gradient, hooked_sum_of_gradients]
)
@pytest.mark.parametrize("way", IMPORTED)
def test_a_hook_on_gradients_is_refused_by_name(way, change):
    make, convert = WAYS[way]
    model = make()
    change(model.get_submodule(MATRICES[way]))
    said = refusal(convert, model)
    assert MATRICES[way] in said and " hook is not supported" in said


@pytest.mark.parametrize("way", ["timm", "torchvision", "torch"])
def test_frozen_parameters_stay_frozen(way):
    """All but those of the last block and of what follows it, as in fine-tuning."""
    make, convert = WAYS[way]
    model = make()
    assert all(parameter.requires_grad for parameter in convert(model).parameters())
    for name, parameter in model.named_parameters():
        last = re.search(r"(layers?|blocks)[._](encoder_layer_)?1\.|norm\.|ln\.|\bhead", name)
        parameter.requires_grad_(bool(last))
    ours = dict(convert(model).named_parameters())
    kept = {name for name, parameter in ours.items() if parameter.requires_grad}
    assert kept == {n for n in ours if re.search(r"blocks\.1\.|(^|encoder\.)norm\.|head\.", n)}
    theirs = (parameter for parameter in model.parameters() if parameter.requires_grad)
    assert sum(p.numel() for p in theirs) == sum(ours[name].numel() for name in kept)


@pytest.mark.parametrize("way", MATRICES)
def test_a_wrapped_matrix_is_refused_by_name(way):
    """Adapters for fine-tuning wrap layers."""
    make, convert = WAYS[way]
    model = make()
    parent, _, name = MATRICES[way].rpartition(".")
    matrix = model.get_submodule(MATRICES[way])
    setattr(model.get_submodule(parent), name, nn.Sequential(matrix, nn.Identity()))
    assert MATRICES[way] in refusal(convert, model)


PATCHES = {
    "timm": "patch_embed.proj",
    "torchvision": "conv_proj",
    "ViT": "vit.embeddings.patch_embeddings.projection",
}


@pytest.mark.parametrize("options", [{"padding": 1}, {"dilation": 2}, {"groups": 3}, {"stride": 1}])
@pytest.mark.parametrize("way", PATCHES)
def test_another_convolution_of_patches_is_refused_by_name(way, options):
    make, convert = WAYS[way]
    model = make()
    patches = model.get_submodule(PATCHES[way])
    given = {"stride": patches.stride, "bias": True} | options
    other = nn.Conv2d(3, patches.out_channels, patches.kernel_size, **given)
    parent, _, name = PATCHES[way].rpartition(".")
    setattr(model.get_submodule(parent), name, other)
    said = refusal(convert, model)
    assert PATCHES[way] in said and next(iter(options)) in said, said


def test_numbers_unlike_the_configuration_are_refused_by_name():
    """These numbers are not in the saved files, so they would be lost."""
    for make, name, key, value in (
        (huggingface.bert(BertForMaskedLM), "bert.embeddings.dropout", "p", 0.0),
        (huggingface.bert(BertForMaskedLM), "bert.encoder.layer.1.output.LayerNorm", "eps", 0.1),
        (huggingface.llama(), "model.layers.0.self_attn", "scaling", 1.0),
        (huggingface.gpt2(), "transformer.wte", "padding_idx", 3),
    ):
        model = make()
        part = model.get_submodule(name)
        usual = getattr(part, key)
        setattr(part, key, value)
        said = refusal(from_huggingface, model)
        assert said.endswith(
            f"{name}: {key} {value} (the configuration has {usual}) is not supported"
        )


@torch.no_grad()
def test_a_model_of_transformers_in_use_is_taken_as_it_is():
    """Hooks that collect outputs, another type, switches and added tokens do not matter."""
    theirs = huggingface.llama()()
    expected = from_huggingface(copy.deepcopy(theirs)).state_dict()
    tokens = torch.tensor([[1, 2, 3]])
    theirs(tokens, output_hidden_states=True, output_attentions=True)
    theirs.eval().generate(tokens, max_new_tokens=2, do_sample=False)
    theirs.train().activation_checkpointing_enable()
    for name, tensor in from_huggingface(theirs).state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    theirs.resize_token_embeddings(60)
    assert len(from_huggingface(theirs.double().float()).embedding.weight) == 60


def test_a_wrapped_model_is_refused_by_its_class():
    class Wrapper(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model
            self.save_pretrained = model.save_pretrained

    said = refusal(from_huggingface, Wrapper(huggingface.gpt2()()))
    assert said.startswith("expected a folder or a model of transformers, not ")
    assert said.endswith("Wrapper")
