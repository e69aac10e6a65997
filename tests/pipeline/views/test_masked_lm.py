"""fill-mask: words for masks, for our models and for folders of transformers."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM

from pipeline.views.masked_lm import fillings

MASKED = "the king and the [MASK] of the [MASK]"


def test_fill_mask_shows_words_with_probabilities(built, run):
    lines = run("fill-mask", MASKED, "--top", 3).output.splitlines()
    assert [line for line in lines if line.startswith("[MASK]")] == ["[MASK] 1", "[MASK] 2"]
    assert len(lines) == 2 + 2 * 3
    chances = [float(line.split("%")[0]) for line in lines[1:4]]
    assert chances == sorted(chances, reverse=True)
    vocabulary = Tokenizer.from_file("data/bert/tokenizer.json").get_vocab()
    assert all(line.split()[1] in vocabulary for line in lines[1:4])


def test_a_prompt_of_theirs_is_framed_by_their_special_tokens(built, run, project):
    """As in published BERTs: vocab.txt, [CLS] and [SEP]."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "to", "be", ",", "or", "not"]
    config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=12)  # fmt: skip
    model = BertForMaskedLM(config).eval()
    model.save_pretrained(project / "theirs")
    (project / "theirs" / "vocab.txt").write_text("\n".join(words) + "\n")
    ids = torch.tensor([[2, 5, 6, 7, 8, 9, 5, 4, 3]])
    with torch.no_grad():
        expected = model(ids).logits[0, 7].softmax(-1).max().item()
    _, ((best,),) = fillings("To be, or not to [MASK]", "bert", project / "theirs", 1)
    assert best.probability == pytest.approx(expected, rel=1e-4)


def test_fill_mask_takes_the_mask_token_of_the_folder(built, run, project):
    run("export", "--model", "bert", "bert")
    whole = Path("bert/tokenizer.json")
    whole.write_text(whole.read_text().replace("[MASK]", "<mask>"))
    settings = Path("bert/tokenizer_config.json")
    settings.write_text(settings.read_text().replace("[MASK]", "<mask>"))
    masked = MASKED.replace("[MASK]", "<mask>")
    lines = run("fill-mask", masked, "--from", "bert").output.splitlines()
    assert [line for line in lines if line.startswith("<")] == ["<mask> 1", "<mask> 2"]
    assert lines[1:6] == run("fill-mask", MASKED).output.splitlines()[1:6]
    assert "no <mask> in" in run("fill-mask", "a [MASK]", "--from", "bert", code=1).output
    settings.write_text("{}")
    output = run("fill-mask", masked, "--from", "bert", code=1).output
    assert output == "error: bert: tokenizer_config.json names no mask token of the vocabulary\n"
