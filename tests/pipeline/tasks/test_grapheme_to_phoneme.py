"""Letters to sounds: batches by length, masked padding, error rates, baselines, beam search."""

from functools import cache
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.tasks.dictionary import END, named
from pipeline.tasks.grapheme_to_phoneme import pronounce
from pipeline.tasks.pronunciations import (
    by_letters,
    by_suffix,
    error_rates,
    without_stress,
)
from tests.conftest import build
from transformer import flops_per_step

CPU = torch.device("cpu")


@pytest.fixture
def task(small):
    prepare(small, "g2p")
    return build("g2p", small, 0, data_dir("g2p"), CPU)


def examples(batch):
    """The words and sounds of a batch, without padding, as tuples of numbers."""
    sources = zip(batch["source"].tolist(), batch["source_mask"].tolist(), strict=True)
    labels = zip(batch["labels"].tolist(), batch["spoken"].tolist(), strict=True)
    rows = [
        [
            tuple(number for number, real in zip(row, mask, strict=True) if real)
            for row, mask in each
        ]
        for each in (sources, labels)
    ]
    return list(zip(*rows, strict=True))


def test_each_epoch_has_each_training_pronunciation_once(task):
    count = task.steps_per_epoch
    epochs = [
        [
            each
            for step in range(count * epoch, count * (epoch + 1))
            for each in examples(task.batch(step))
        ]
        for epoch in range(2)
    ]
    expected = []
    for word, listed in zip(
        task.dictionary.spelling("train"), task.dictionary.listed("train"), strict=True
    ):
        letters = tuple(task.meta["letters"].index(letter) + 1 for letter in word)
        for said in listed:
            sounds = tuple(task.meta["sounds"].index(sound) + 1 for sound in said)
            expected.append(((*letters, END), (*sounds, END)))
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(expected)
    assert epochs[0] != epochs[1]


def test_a_batch_depends_on_seed_and_step_alone(small, task):
    again = build("g2p", small, 0, data_dir("g2p"), CPU)
    later = [task.batch(step) for step in range(2 * task.steps_per_epoch)][-1]
    assert torch.equal(again.batch(2 * task.steps_per_epoch - 1)["source"], later["source"])
    other = build("g2p", small, 1, data_dir("g2p"), CPU)
    assert examples(other.batch(0)) != examples(task.batch(0))


def test_words_of_a_batch_have_nearly_equal_length(task):
    sizes = [batch["source_mask"].sum(1) for batch in map(task.batch, range(task.steps_per_epoch))]
    within = sum(int(each.max() - each.min()) for each in sizes) / len(sizes)
    everything = torch.cat(sizes)
    assert within <= 1.0 < int(everything.max() - everything.min())


def padded(batch, more):
    wider = {key: F.pad(value, (0, more), value=1) for key, value in batch.items()}
    for mask in ("source_mask", "spoken"):
        wider[mask] = F.pad(batch[mask], (0, more), value=False)
    return wider


def test_padding_changes_neither_loss_nor_gradients(task):
    model = task.build_model()
    batches = map(task.batch, range(task.steps_per_epoch))
    batch = min(batches, key=lambda each: each["source"].shape[1] + each["labels"].shape[1])
    found = []
    for each in (batch, padded(batch, 2)):
        model.zero_grad()
        loss, _ = task.loss(model, each)
        loss.backward()
        found.append((loss.item(), [p.grad.clone() for p in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert (
        task.weight(batch)
        == task.weight(padded(batch, 2))
        == sum(len(s) for _, s in examples(batch))
    )


def with_smoothing(small, share):
    raw = small.content()
    raw["g2p"]["objective"]["label_smoothing"] = share
    return build("g2p", validate(raw), 0, data_dir("g2p"), CPU)


def test_the_loss_is_that_of_each_word_alone(small, task):
    task = with_smoothing(small, 0.0)
    model = task.build_model().eval()
    batch = task.batch(1)
    losses = []
    for letters, sounds in examples(batch):
        inputs = torch.tensor([[END, *sounds[:-1]]])
        with torch.no_grad():
            logits = model(inputs, source=torch.tensor([letters]))[0]
        losses.append(F.cross_entropy(logits, torch.tensor(sounds), reduction="none"))
    assert task.loss(model, batch)[0].item() == pytest.approx(
        torch.cat(losses).mean().item(), rel=1e-5
    )


def test_label_smoothing_is_that_of_torch(small, task):
    smoothed = with_smoothing(small, 0.2)
    model, batch = smoothed.build_model().eval(), smoothed.batch(0)
    with torch.no_grad():
        logits = model(batch["inputs"], source=batch["source"], source_mask=batch["source_mask"])
    expected = F.cross_entropy(
        logits[batch["spoken"]], batch["labels"][batch["spoken"]], label_smoothing=0.2
    )
    assert smoothed.loss(model, batch)[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_micro_batches_have_the_loss_of_the_batch(task):
    model, batch = task.build_model().eval(), task.batch(0)
    parts = list(task.micro_batches(0, 4))
    weighted = sum(task.loss(model, part)[0] * task.weight(part) for part in parts)
    mean = weighted / sum(map(task.weight, parts))
    assert mean.item() == pytest.approx(task.loss(model, batch)[0].item(), rel=1e-5)


def test_muon_gets_the_matrices_of_encoder_and_decoder(small, task):
    from pipeline.training import optimizers
    from pipeline.training.muon import Muon

    model = task.build_model()
    muon, _ = optimizers.build(model, small.section("g2p").train)
    assert isinstance(muon, Muon)
    moved = {parameter for group in muon.param_groups for parameter in group["params"]}
    blocks = [*model.encoder.blocks, *model.blocks]
    assert moved == {p for block in blocks for p in block.parameters() if p.ndim == 2}


def naive_distance(first, second):
    """The edit distance by its definition."""

    @cache
    def distance(i, j):
        if 0 in (i, j):
            return i + j
        change = distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, change)

    return distance(len(first), len(second))


def test_phoneme_error_rates_are_edit_distances_by_their_definition():
    random = torch.Generator().manual_seed(0)
    for _ in range(200):
        said, listed = (
            tuple("ABC"[i] for i in torch.randint(0, 3, (size,), generator=random))
            for size in torch.randint(1, 7, (2,), generator=random).tolist()
        )
        found = error_rates([said], [[listed]])
        assert found["per"] == pytest.approx(naive_distance(said, listed) / len(listed))


def test_error_rates_equal_a_hand_computation():
    answers = [("K", "AE1", "T"), ("D", "AO0", "G"), ("R", "IY1", "D", "Z")]
    listed = [
        [("K", "AE1", "T")],
        [("D", "AA1", "G"), ("D", "AO1", "G")],  # the second, but for its stress
        [("R", "EH1", "D"), ("R", "IY1", "D")],  # one sound too many for the second
    ]
    rates = error_rates(answers, listed)
    assert rates == {
        "wer": pytest.approx(1 / 3),
        "per": pytest.approx(1 / 9),
        "stressed_wer": pytest.approx(2 / 3),
        "stressed_per": pytest.approx(2 / 9),
    }


def test_the_baseline_of_letters_says_the_commonest_sound():
    known = {
        "at": [("AE1", "T")],
        "ta": [("T", "AH0")],
        "ad": [("AE1", "D")],
        "tha": [("DH", "AH0")],
    }
    assert by_letters(["tad", "hat"], known) == [("T", "AE1", "D"), ("AE1", "T")]


def test_the_baseline_of_suffixes_says_the_nearest_word():
    known = {"cat": [("K",)], "dog": [("D",), ("X",)], "hot": [("H",)], "a": [("A",)]}
    assert by_suffix(["bat", "frog", "shot", "pita"], known) == [("K",), ("D",), ("H",), ("A",)]
    # Against a search through all known words.
    words = ["".join(each) for each in product("adgt", repeat=3)]
    for word, found in zip(words, by_suffix(words, known), strict=True):
        common = {
            other: next(n for n in range(4, -1, -1) if word.endswith(other[len(other) - n :]))
            for other in known
        }
        longest = max(common.values())
        assert found in [known[other][0] for other in known if common[other] == longest]


def test_a_word_is_pronounced_alike_alone_and_among_others(task):
    model = task.build_model().eval()
    first, count = task.dictionary.words("test")
    rows, length = task.dictionary.letters[first : first + count], task.meta["length"]
    together = pronounce(model, rows, length, 3)
    for row, expected in list(zip(rows, together, strict=True))[:6]:
        (alone,) = pronounce(model, row[None], length, 3)
        assert alone[0].tokens == expected[0].tokens
        assert alone[0].log_probability == pytest.approx(expected[0].log_probability, rel=1e-4)


def test_a_beam_of_all_is_at_least_as_likely_as_greedy_decoding(task):
    model = task.build_model().eval()
    rows, length = task.dictionary.letters[:12], task.meta["length"]
    greedy, beam = (pronounce(model, rows, length, width) for width in (1, 8))
    pairs = list(zip(greedy, beam, strict=True))
    better = [wide[0].log_probability - one[0].log_probability for one, wide in pairs]
    assert min(better) > -1e-4


def test_metrics_are_those_of_the_answers(task):
    model = task.build_model().eval()
    metrics = task.evaluate(model)
    words, listed = task.dictionary.spelling("test"), task.dictionary.listed("test")
    answers = []
    for word in words:
        letters = torch.tensor([[*(task.meta["letters"].index(x) + 1 for x in word), END]])
        said = [END]
        while len(said) < task.meta["length"] and (len(said) == 1 or said[-1] != END):
            with torch.no_grad():
                said.append(int(model(torch.tensor([said]), source=letters)[0, -1].argmax()))
        answers.append(named(said[1:], task.meta["sounds"]))
    right = [a in known for a, known in zip(answers, listed, strict=True)]
    assert metrics["greedy_stressed_wer"] == pytest.approx(1 - sum(right) / len(right))
    assert set(task.headline) <= set(metrics)
    assert metrics["loss"] == pytest.approx(task.validate(model)["loss"])
    assert without_stress(("AH0", "T")) == ("AH", "T")


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"mlp": "gated", "n_kv_head": 1, "positions": "rotary", "norm": "rmsnorm"},
        {"qk_norm": True, "layer_scale": 0.1, "norm_position": "post", "dropout": 0.1},
        {"n_decoder_layer": 3},
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_the_cost_of_a_step_is_the_mean_of_what_torch_counts(small, task, variant, tied):
    """Over the batches of an epoch, of which the last is smaller, for a whole batch."""
    raw = small.content()
    raw["g2p"]["model"] |= {"tie_embeddings": tied, "n_layer": 2, "n_decoder_layer": 1} | variant
    raw["g2p"]["train"]["batch_size"] = 20
    varied = build("g2p", validate(raw), 0, data_dir("g2p"), CPU)
    model = varied.build_model()
    batches = [varied.batch(step) for step in range(varied.steps_per_epoch)]
    assert {len(batch["inputs"]) == 20 for batch in batches} == {True, False}
    # The seed orders words of equal length, which does not change the shapes.
    counted = sum(flops_per_step(model, **varied.model_inputs(batch)) for batch in batches)
    assert varied.flops_per_step(model) == round(counted * 20 / varied.examples)
