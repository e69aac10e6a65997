"""prepare: what it says of a user's own data."""

from pathlib import Path

import pytest

from pipeline.params import Params, validate
from pipeline.stages.prepare import prepare

WORDS = "to be or not to be that is the question " * 20


def reading(small: Params, text: str) -> Params:
    content = small.model_dump(exclude_none=True)
    content["gpt"]["data"]["text"] = text
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
def test_data_that_dvc_does_not_watch_are_told(small, project, capsys, text, watched):
    text = text.format(project=project)
    Path(text).parent.mkdir(parents=True, exist_ok=True)
    Path(text).resolve().write_text(WORDS)
    prepare(reading(small, text), "gpt")
    said = f"note: DVC does not notice when {Path(text)} changes: it watches data/own, without"
    assert (said in capsys.readouterr().out) is not watched


def test_what_suits_a_users_own_images_is_said(small, capsys):
    prepare(small, "vit")
    assert "note: images: the median image has 8 x 8 pixels; augm" in capsys.readouterr().out
