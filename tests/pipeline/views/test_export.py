"""Export: transformers opens the models, with equal answers; a grey model takes colour images."""

import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, pipeline

import transformer
from pipeline.inference.loading import ImageModel
from pipeline.views.causal_lm import continuation
from pipeline.views.export import BRIGHTNESS, in_colour
from pipeline.views.masked_lm import fillings
from transformer.stems import STEMS
from transformer.weights.huggingface.preparation import Preparation

PROMPT, MASKED = "the king and", "the king and the [MASK] of the [MASK]"


def test_exported_models_run_in_transformers_and_come_back(built, run, project):
    for name, wanted in (("bert", "BertForMaskedLM"), ("gpt", "GPT2LMHeadModel")):
        assert wanted in run("export", "--model", name, project / name).output
    # transformers: the words and their probabilities.
    theirs = pipeline("fill-mask", model=str(project / "bert"), top_k=4)(MASKED)
    for found in (fillings(MASKED, "bert", None, 4), fillings(MASKED, "bert", project / "bert", 4)):
        assert found[0] == "[MASK]"
        for guesses, expected in zip(found[1], theirs, strict=True):
            assert [g.word for g in guesses] == [each["token_str"] for each in expected]
            scores = [each["score"] for each in expected]
            assert [g.probability for g in guesses] == pytest.approx(scores, rel=1e-4)
    # transformers: the same text, up to the context.
    tokenizer = AutoTokenizer.from_pretrained(project / "gpt")
    model = AutoModelForCausalLM.from_pretrained(project / "gpt")
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)[0]
    for source in (None, project / "gpt"):
        pieces = continuation(PROMPT, "gpt", source, 5, {"temperature": 0}, 0, ())
        assert "".join(pieces) == tokenizer.decode(written)


def test_export_refuses_parts_by_name_and_folders_in_use(built, run, project):
    (project / "used").mkdir()
    (project / "used" / "file").touch()
    output = run("export", "--model", "gpt", project / "used", code=1).output
    assert "used already exists: give a new or an empty folder" in output
    path = project / "models" / "gpt" / "seed-0" / "config.json"
    config = json.loads(path.read_text())
    config["architecture"]["qk_norm"] = True
    path.write_text(json.dumps(config))
    output = run("export", "--model", "gpt", project / "out", code=1).output
    assert "models/gpt cannot be exported: GPT2LMHeadModel does not support qk_norm" in output
    assert not (project / "out").exists()
    output = run("export", "--model", "vit", project / "text.txt" / "out", code=1).output
    assert output == f"error: {project / 'text.txt' / 'out'}: Not a directory\n"


def test_an_exported_tokenizer_adds_nothing(built, run, project):
    run("export", "--model", "bert", project / "bert")
    tokenizer = AutoTokenizer.from_pretrained(project / "bert")
    ours = Tokenizer.from_file("data/bert/tokenizer.json")
    assert tokenizer(MASKED).input_ids == ours.encode(MASKED, add_special_tokens=False).ids
    assert AutoModelForMaskedLM.from_pretrained(project / "bert").config.type_vocab_size == 1


@pytest.mark.parametrize("stem", STEMS)
@torch.no_grad()
def test_a_grey_model_in_colour_sees_grey_values(stem):
    torch.manual_seed(0)
    grey = transformer.vit(transformer.Architecture(1, 2, 8, 16), 8, 4, 1, 3, stem=stem).eval()
    images = ImageModel(grey, ["a", "b", "c"], Preparation((8, 8), 2, 1 / 255, [0.1], [0.3]))
    colour = in_colour(images)
    assert colour.model.embedding.patches.in_channels == 3
    assert (colour.preparation.mean, colour.preparation.std) == ([0.1] * 3, [0.3] * 3)
    pixels = torch.rand(2, 3, 8, 8)
    brightness = (pixels * torch.tensor(BRIGHTNESS).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(colour.model(pixels), grey(brightness))
