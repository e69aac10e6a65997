"""prepare: its notes about a user's own data."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.params import Params, validate
from pipeline.stages.prepare import prepare
from pipeline.wording import WIDTH

WORDS = "to be or not to be that is the question " * 20


LONG = "a-long-name-of-a-file"


def reading(small: Params, text: str) -> Params:
    return with_data(small, "gpt", text=text)


def with_data(small: Params, model: str, **values: str) -> Params:
    content = small.content()
    content[model]["data"] |= values
    return validate(content)


@pytest.mark.parametrize(
    ("text", "watched"),
    [
        ("data/own/novel.txt", True),
        ("./data/own/deep/novel.txt", True),
        ("{project}/data/own/novel.txt", True),
        ("novel.txt", False),
        ("data/own/../novel.txt", False),
        ("data/own/.novel.txt", False),
    ],
)
def test_a_note_names_data_that_dvc_does_not_watch(small, project, capsys, text, watched):
    text = text.format(project=project)
    Path(text).parent.mkdir(parents=True, exist_ok=True)
    Path(text).resolve().write_text(WORDS)
    prepare(reading(small, text), "gpt")
    said = f"note: DVC does not notice when {Path(text)} changes: it watches data/own, without"
    assert (said in " ".join(capsys.readouterr().out.split())) is not watched


def test_a_note_suggests_parameters_for_a_users_own_images(small, capsys):
    prepare(small, "vit")
    assert "note: images: the median image has 8 x 8 pixels; augm" in capsys.readouterr().out


def notes(printed: str) -> list[str]:
    """The notes, each on one line; all printed lines fit the terminal."""
    assert max(map(len, printed.splitlines())) <= WIDTH
    found = re.findall(r"^note: .*(?:\n  .*)*", printed, re.MULTILINE)
    return [note.replace("\n  ", " ") for note in found]


def test_notes_with_long_names_of_images_fit_the_terminal(small, project, capsys):
    folder = Path(LONG)
    for split in ("training-images", "testing-images", "validation-images"):
        for number, kind in enumerate((f"{LONG}-0", f"{LONG}-1")):
            (folder / split / kind).mkdir(parents=True)
            for shade in range(3):  # equal in all splits
                pixels = np.full((8, 8, 3), (200, 100 * number, shade), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / kind / f"{shade}.png")
    Image.fromarray(pixels).save(folder / "training-images" / f"{LONG}.png")
    (folder / "training-images" / f"{LONG}-0" / f"{LONG}.txt").write_text("x")
    prepare(with_data(small, "vit", images=str(folder)), "vit")
    subjects = ("DVC does not notice", "using", "ignoring images", "ignoring other files",
                "copies of training images", "the median image")  # fmt: skip
    found = notes(capsys.readouterr().out)
    assert all(any(subject in note for note in found) for subject in subjects), found


def test_notes_with_long_names_of_texts_fit_the_terminal(small, project, capsys):
    name = f"{LONG}-{LONG}.txt"
    Path(name).write_text("😀 Ελληνικά " + "είναι η ερώτηση " * 200)
    prepare(with_data(small, "gpt", text=name, tokenizer="wordpiece"), "gpt")
    found = notes(capsys.readouterr().out)
    for subject in ("DVC does not notice", "unknown to the tokenizer", "tokens per word"):
        assert any(subject in note and name in note for note in found), found
