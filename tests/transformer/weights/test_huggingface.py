"""Models of transformers: equal outputs and gradients; no tensor is ignored."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    ViTForImageClassification,
)

from tests.transformer.weights.huggingface_cases import (
    CASES,
    VOCABULARY,
    bert,
    gpt2,
    llama,
    vit,
)
from tests.transformer.weights.parity import errors
from transformer.weights import from_huggingface


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_and_gradients_are_theirs(case):
    for found in errors(case):
        assert found.outputs < 1e-5, found
        assert found.gradients is None or found.gradients < 1e-5, found


BERT, GPT2, LLAMA = bert(BertForMaskedLM), gpt2(), llama()
VIT = vit(ViTForImageClassification)


def test_folders_that_hold_no_model_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"config\.json is missing: expected a folder"):
        from_huggingface(tmp_path)
    with pytest.raises(ValueError, match="from the Hub: hf download NAME --local-dir FOLDER"):
        from_huggingface("bert-base-uncased")
    with pytest.raises(ValueError, match="expected a folder or a model of transformers, not int"):
        from_huggingface(7)
    with pytest.raises(ValueError, match="a folder or a model of transformers, not BertConfig"):
        from_huggingface(BertConfig())
    saved = folder(BERT)
    with pytest.raises(ValueError, match="a BertForMaskedLM takes no images"):
        from_huggingface(saved, image_size=8)
    (saved / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not readable as safetensors"):
        from_huggingface(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors is missing"):
        from_huggingface(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        from_huggingface(saved)


def same(folder, expected):
    ids = torch.randint(VOCABULARY, (2, 9))
    torch.testing.assert_close(from_huggingface(folder)(ids), expected(ids).logits)


def test_files_of_older_versions_hold_the_same(folder):
    """With norms named gamma and beta, names without a prefix, and buffers."""

    def old_bert(tensors):
        renamed = tensors
        for new, old in (("weight", "gamma"), ("bias", "beta")):
            renamed = {
                k.replace(f"LayerNorm.{new}", f"LayerNorm.{old}"): v for k, v in renamed.items()
            }
        return renamed | {"bert.embeddings.position_ids": torch.arange(17)[None]}

    def old_llama(tensors):
        frequencies = 1 / 50.0 ** (torch.arange(0, 6, 2) / 6)
        return tensors | {
            f"model.layers.{i}.self_attn.rotary_emb.inv_freq": frequencies.half() for i in range(2)
        }

    def old_gpt2(tensors):
        mask = torch.ones(17, 17).tril()[None, None]
        buffers = {f"h.{i}.attn.bias": mask.clone() for i in range(2)}
        buffers |= {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
        return {k.removeprefix("transformer."): v for k, v in tensors.items()} | buffers

    pooler = {"pooler_type": "first_token_transform", "pooler_fc_size": 768,
              "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3,
              "pooler_size_per_head": 128, "directionality": "bidi"}  # fmt: skip
    old_rope = {"rope_parameters": None, "rope_theta": 50.0, "rope_interleaved": False,
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "is_llama_config": True}  # fmt: skip
    new = {"rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0}}
    for make, kind, config, tensors in (
        (BERT, BertForMaskedLM, pooler, old_bert),
        (GPT2, GPT2LMHeadModel, {"n_ctx": 17, "torch_dtype": "float32"}, old_gpt2),
        (llama(**new), LlamaForCausalLM, old_rope, old_llama),
    ):
        saved = folder(make)
        expected = kind.from_pretrained(saved).eval()
        ours = from_huggingface(saved)
        values = json.loads((saved / "config.json").read_text()) | config
        (saved / "config.json").write_text(json.dumps(values))
        old = tensors(load_file(saved / "model.safetensors"))
        save_file(old, saved / "model.safetensors", {"format": "pt"})
        for parameter, again in zip(
            ours.parameters(), from_huggingface(saved).parameters(), strict=True
        ):
            assert torch.equal(parameter, again)
        same(saved, expected)


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (GPT2, "transformer.h.0.attn.bias", torch.ones(1, 1, 17, 17)),
        (GPT2, "transformer.h.0.attn.bias", torch.ones(1, 1, 4, 4).tril()),
        (BERT, "bert.embeddings.position_ids", torch.arange(9)[None]),
        (LLAMA, "model.layers.1.self_attn.rotary_emb.inv_freq", torch.ones(3)),
    ],
)
def test_a_buffer_with_values_of_its_own_is_refused(folder, make, name, values):
    with pytest.raises(ValueError, match=f"{name}: this buffer has unusual values"):
        from_huggingface(folder(make, tensors=lambda tensors: tensors | {name: values}))


def test_a_buffer_of_a_block_that_is_not_there_is_refused(folder):
    mask = {"transformer.h.7.attn.bias": torch.ones(1, 1, 17, 17).tril()}
    with pytest.raises(ValueError, match="n_layer: 2 is not supported; the weights have 3 blocks"):
        from_huggingface(folder(GPT2, tensors=lambda tensors: tensors | mask))


def test_numbers_that_are_not_floating_point_are_refused(folder):
    saved = folder(LLAMA, tensors=lambda tensors: {k: t.char() for k, t in tensors.items()})
    with pytest.raises(ValueError, match=r"weight: expected floating-point .*torch\.int8"):
        from_huggingface(saved)
    name = "vit.embeddings.position_embeddings"
    saved = folder(VIT, tensors=lambda tensors: tensors | {name: tensors[name].char()})
    for size, message in ((None, f"{name}: expected floating"), (22, "positions: torch.int8")):
        with pytest.raises(ValueError, match=message):
            from_huggingface(saved, image_size=size)


@pytest.mark.parametrize(
    ("make", "kind", "config", "original", "copy"),
    [
        (
            llama(tie_word_embeddings=True), LlamaForCausalLM, {},
            "model.embed_tokens.weight", "lm_head.weight",
        ),
        (GPT2, GPT2LMHeadModel, {}, "transformer.wte.weight", "lm_head.weight"),
        (BERT, BertForMaskedLM, {}, "cls.predictions.bias", "cls.predictions.decoder.bias"),
    ],
)  # fmt: skip
def test_a_tied_weight_is_found_under_either_name(folder, make, kind, config, original, copy):
    saved = folder(make, tensors=lambda t: {copy if k == original else k: v for k, v in t.items()})
    same(saved, kind.from_pretrained(saved).eval())


def test_a_tied_weight_that_was_saved_twice_is_to_be_the_same(folder):
    copy = "lm_head.weight"
    words = "transformer.wte.weight"
    saved = folder(GPT2, tensors=lambda tensors: tensors | {copy: tensors[words].clone()})
    same(saved, GPT2LMHeadModel.from_pretrained(saved).eval())
    with pytest.raises(ValueError, match=f"tie_word_embeddings: {copy} and {words} differ"):
        from_huggingface(folder(GPT2, tensors=lambda tensors: tensors | {copy: tensors[words] + 1}))


def test_tensors_of_another_task_are_dropped_only_if_named(folder):
    pooler = {"bert.pooler.dense.weight": torch.zeros(30, 30)}
    saved = folder(BERT, tensors=lambda tensors: tensors | pooler)
    with pytest.raises(ValueError, match=r"the model does not have: bert\.pooler\.dense\.weight"):
        from_huggingface(saved)
    model = from_huggingface(saved, drop=("bert.pooler.",))
    same_output = BertForMaskedLM.from_pretrained(saved).eval()
    ids = torch.randint(VOCABULARY, (2, 9))
    torch.testing.assert_close(model(ids), same_output(ids).logits)


def test_weights_are_read_from_several_files(folder):
    model = gpt2()().eval()
    saved = folder(lambda: model)
    (saved / "model.safetensors").unlink()
    model.save_pretrained(saved, max_shard_size="20KB")
    files = sorted(saved.glob("*.safetensors"))
    assert len(files) > 1
    same(saved, model)
    twice = next(iter(load_file(files[0])))
    save_file(load_file(files[1]) | {twice: torch.zeros(1)}, files[1])
    with pytest.raises(ValueError, match=f"{files[1]}: {twice} is also in another file"):
        from_huggingface(saved)
    index = saved / "model.safetensors.index.json"
    for text in ("{}", '{"weight_map": 5}', '{"weight_map": {}}', '{"weight_map": {"a": "../b"}}'):
        index.write_text(text)
        with pytest.raises(ValueError, match=f"{index}: weight_map: expected names of tensors"):
            from_huggingface(saved)
    index.write_text("nothing of the kind")
    with pytest.raises(ValueError, match=f"{index}: not JSON"):
        from_huggingface(saved)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_model_as_an_object_is_the_same_as_its_folder(case):
    theirs = case.make()
    ours = from_huggingface(theirs)
    if "interpolated" not in case.source:
        for name, parameter in case.convert(theirs).named_parameters():
            assert torch.equal(parameter, ours.get_parameter(name)), name
