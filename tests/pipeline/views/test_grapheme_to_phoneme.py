"""pronounce: its output and errors; alignments, samples and the page of the report."""

import re

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from pipeline.paths import data_dir, model_dir
from pipeline.results import Result
from pipeline.training import models
from pipeline.views.alignment import alignment, draw
from pipeline.views.grapheme_to_phoneme import VIEW, Speaker, pronunciations
from tests.conftest import build

CPU = torch.device("cpu")
ANSWER = re.compile(r" *(\d+\.\d)%  (\(nothing\)|(?:AA1|AA0|EH1|EH0|K|S|T)(?: \w+)*)$")


def test_pronounce_shows_sounds_with_probabilities(built, run):
    lines = run("pronounce", "kat", "--top", 3).output.splitlines()
    assert len(lines) == 3
    assert all(ANSWER.match(line) for line in lines), lines
    chances = [float(line.split("%")[0]) for line in lines]
    assert chances == sorted(chances, reverse=True)
    assert run("pronounce", " KAT ", "--model", "g2p", "--top", 3).output.splitlines() == lines


def test_its_probabilities_are_those_of_the_model(built):
    model, _ = models.load(model_dir("g2p", 0))
    meta = Speaker.read(model_dir("g2p", 0), data_dir("g2p") / "meta.json")
    said, chance = pronunciations("set", "g2p", 2)[0]
    names = [] if said == "(nothing)" else said.split()
    letters = torch.tensor([[*meta.numbers("set"), 0]])
    sounds = [*(meta.sounds.index(sound) + 1 for sound in names), 0]
    with torch.no_grad():
        logits = model(torch.tensor([[0, *sounds[:-1]]]), source=letters)[0].log_softmax(-1)
    expected = sum(row[sound] for row, sound in zip(logits, sounds, strict=True)).exp().item()
    assert chance == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "'' is no word: it needs at least one letter"),
        ("  ", "is no word"),
        ("'", "is no word"),
        ("cat", "the model does not know 'c'; it takes one word of these characters: a e k s t"),
        ("a set", "the model does not know ' '"),
        ("k" * 40, "has 40 letters, but the model takes at most"),
    ],
)
def test_a_word_that_it_cannot_say_is_refused(built, run, word, message):
    output = " ".join(run("pronounce", word, code=1).output.split())
    assert message in output
    assert "Traceback" not in output


def test_a_model_of_another_task_is_refused(built, run):
    output = " ".join(run("pronounce", "kat", "--model", "bert", code=1).output.split())
    assert "bert has `task: masked_lm`, not grapheme_to_phoneme" in output


def test_a_folder_of_hugging_face_is_no_option(built, run):
    assert "No such option '--from'" in run("pronounce", "kat", "--from", ".", code=2).output


def test_help_says_what_it_shows(run):
    assert "likeliest pronunciations of WORD" in run("pronounce", "--help").output


def test_export_is_refused_by_name(built, run, tmp_path):
    output = " ".join(run("export", "--model", "g2p", tmp_path / "out", code=1).output.split())
    assert "models/g2p cannot be exported" in output
    assert not (tmp_path / "out").exists()


def test_the_model_of_mlflow_answers_as_the_command(built, run):
    artifacts = {"model": model_dir("g2p", 0), "meta": data_dir("g2p") / "meta.json"}
    answers = VIEW.answering(artifacts)(pd.DataFrame({"word": ["kat", "tessa"]}))
    lines = run("pronounce", "tessa").output.splitlines()
    shown = [f"  {chance:6.1%}  {said}" for said, chance in answers[1]]
    assert shown == lines
    assert len(answers) == 2


@pytest.mark.parametrize("heads", [0, 1])  # of keys and values; 0: as many as of queries
def test_alignments_are_the_weights_of_attention(small, built, heads, monkeypatch):
    raw = small.content()
    raw["g2p"]["model"] |= {"n_kv_head": heads, "n_layer": 1, "n_decoder_layer": 2}
    from pipeline.params import validate

    task = build("g2p", validate(raw), 0, data_dir("g2p"), CPU)
    model = task.build_model().eval()
    letters, sounds = torch.tensor([1, 2, 3, 0]), torch.tensor([4, 5, 0])
    weights = alignment(model, letters, sounds)
    assert weights.shape == (3, 4)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    # With values that are the unit vectors of the letters, attention's output is its weights.
    kept = []
    real = torch.nn.functional.scaled_dot_product_attention

    def reading(q, k, v, **options):
        if k.shape[2] == 4 and q.shape[2] == 3:
            unit = torch.eye(4).expand(1, k.shape[1], 4, 4)
            kept.append(real(q, k, unit, **options).mean(1)[0])
        return real(q, k, v, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", reading)
    with torch.no_grad():
        model(torch.tensor([[0, 4, 5]]), source=letters[None])
    assert len(kept) == 2
    torch.testing.assert_close(weights, torch.stack(kept).mean(0))


def test_samples_and_the_page_show_right_and_wrong_words(small, built):
    task = build("g2p", small, 0, data_dir("g2p"), CPU)
    model, _ = models.load(model_dir("g2p", 0))
    samples = VIEW.samples(task, model)
    listed = dict(
        zip(task.dictionary.spelling("test"), task.dictionary.listed("test"), strict=True)
    )
    for each in samples["words"]:
        assert [tuple(said) for said in each["listed"]] == listed[each["word"]]
    page = VIEW.shown(Result("g2p", "grapheme_to_phoneme", task.meta, {}, [], {}, samples))
    assert all(each["word"] in page for each in samples["words"])
    figure = Figure()
    draw(figure, samples["alignments"], "G2P")
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == len(samples["alignments"])
    for axes, each in zip(drawn, samples["alignments"], strict=True):
        ticks = [tick.get_text() for tick in axes.get_xticklabels()]
        assert "".join(ticks) == each["word"] + "end"
        assert axes.images[0].get_array().shape == (len(each["said"]) + 1, len(each["word"]) + 1)


def test_sounds_that_differ_are_in_brackets(small, built):
    """From those of the listed pronunciation that is the nearest without stress."""
    listed = [["K", "EY1", "OW0"], ["K", "AA1", "T"]]
    words = [{"word": "kat", "said": ["K", "AA0", "S"], "listed": listed}]
    samples = {"words": words, "alignments": []}
    page = VIEW.shown(Result("g2p", "grapheme_to_phoneme", {}, {}, [], {}, samples))
    assert "- kat  K AA0 [S]" in page
    assert "K AA1 [T]" in page
