"""Pronouncing dictionaries: parsing, splits by word, and files that are none."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.data.pronunciations import encode, parse
from pipeline.errors import UserError
from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare


def settings(raw, **changes):
    raw["g2p"]["data"] |= changes
    return validate(raw).section("g2p").data


def words_of(tensors, meta):
    """Of each split its words, with the pronunciations of each, read back from the tensors."""
    letters, sounds = (["", *meta[key]] for key in ("letters", "sounds"))
    spelled = ["".join(letters[number] for number in row) for row in tensors["letters"]]
    said = {word: [] for word in spelled}
    for index, row in zip(tensors["word"], tensors["sounds"], strict=True):
        said[spelled[index]].append(tuple(sounds[number] for number in row if number))
    found, first = {}, 0
    for split in ("train", "validation", "test"):
        count = meta[f"{split}_words"]
        found[split] = {word: said[word] for word in spelled[first : first + count]}
        first += count
    assert first == len(spelled)
    return found


def test_a_dictionary_is_read_line_by_line():
    text = b";;; a header\nCat K AE1 T # an animal\ncat(2) K AE2 T\n\ncat(3) K AE1 T\ndog D AO1 G\n"
    assert parse("words.dict", text) == {
        "cat": [("K", "AE1", "T"), ("K", "AE2", "T")],
        "dog": [("D", "AO1", "G")],
    }


def test_every_word_is_in_one_split_with_all_its_pronunciations(raw, small):
    data = settings(small.content())
    with open("words.dict", "rb") as file:
        listed = parse("words.dict", file.read())
    found = words_of(*encode(data))
    splits = [set(each) for each in found.values()]
    assert sum(map(len, splits)) == len(set.union(*splits)) == len(listed)
    assert {word: said for each in found.values() for word, said in each.items()} == listed
    assert any(len(said) > 1 for said in found["test"].values())
    total = len(listed)
    assert [len(each) for each in splits[1:]] == [round(0.1 * total), round(0.2 * total)]


def test_another_seed_splits_otherwise_and_the_same_one_alike(small):
    raw = small.content()
    first, again = (encode(settings(raw))[0]["letters"] for _ in range(2))
    other = encode(settings(raw, split_seed=1))[0]["letters"]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_words_with_other_characters_are_left_out(small, project, capsys):
    lines = [f"{a}{b} AA1 T" for a in "abcde" for b in "abcde"]
    text = "\n".join([*lines, "a.m. EY1 EH1 M", "able-bodied B", "o'clock K", "4th F"])
    (project / "odd.dict").write_text(text)
    tensors, meta = encode(settings(small.content(), dictionary="odd.dict"))
    assert meta["words_left_out"] == 3
    words = {word for each in words_of(tensors, meta).values() for word in each}
    assert "o'clock" in words
    assert "a.m." not in words
    assert "3 of 29 words" in capsys.readouterr().out


def test_prepared_files_describe_themselves(small):
    prepare(small, "g2p")
    meta = json.loads((data_dir("g2p") / "meta.json").read_text())
    tensors = load_file(data_dir("g2p") / "pronunciations.safetensors")
    assert meta["own"]
    assert tensors["letters"].max() == len(meta["letters"])
    assert tensors["sounds"].max() == len(meta["sounds"])
    # Room for what begins or ends a pronunciation.
    assert meta["length"] > max(tensors["letters"].shape[1], tensors["sounds"].shape[1])
    assert (tensors["letters"][:, -1] == 0).all()
    assert (tensors["sounds"][:, -1] == 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n", "line 1: 'cat' has no sounds"),
        (b"a AH0\n\xff\xfe B\n", "not UTF-8 text \\(line 2\\)"),
        (b"", "no words of letters"),
        (b"4th F AO1 R TH\n", "no words of letters"),
        (b"a AH0\n", "none are left for the (validation|test|train) split"),
        (b"a " + b"B " * 300, "line 1: more than 256"),
    ],
)
def test_a_file_that_is_no_dictionary_is_refused(small, project, content, message):
    (project / "bad.dict").write_bytes(content)
    with pytest.raises(UserError, match=message):
        encode(settings(small.content(), dictionary="bad.dict"))


def test_an_unknown_name_is_refused_with_a_similar_one(small):
    with pytest.raises(UserError, match="did you mean 'cmudict'"):
        encode(settings(small.content(), dictionary="cmudic"))
