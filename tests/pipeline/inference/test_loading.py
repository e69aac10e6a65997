"""A model is not used if it was trained on other data than are prepared."""

import json
from pathlib import Path

import pytest

from pipeline.params import validate
from pipeline.paths import data_dir, model_dir
from pipeline.stages.prepare import prepare

IMAGE = "images/class0/0.png"
COMMANDS = {
    "bert": [["fill-mask", "the [MASK]"], ["export", "--model", "bert", "out"]],
    "gpt": [["generate", "--prompt", "the"], ["export", "--model", "gpt", "out"]],
    "vit": [["classify", IMAGE], ["export", "--model", "vit", "out"]],
}


def rename_words(project: Path) -> None:
    """The same tokens in the same order, but for other words."""
    text = (project / "text.txt").read_text()
    (project / "text.txt").write_text(text.replace("king", "duke").replace("queen", "prior"))


def shuffle_words(project: Path) -> None:
    words = (project / "text.txt").read_text().split()
    (project / "text.txt").write_text(" ".join(sorted(words)))


def rename_classes(project: Path) -> None:
    for folder in sorted((project / "images").iterdir()):
        folder.rename(folder.with_name(folder.name.replace("class", "kind")))


def remove_images(project: Path) -> None:
    for file in (project / "images").glob("*/9.png"):
        file.unlink()


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("bert", rename_words, "tokenizer"),
        ("gpt", rename_words, "tokenizer"),
        ("gpt", shuffle_words, "text"),
        ("vit", rename_classes, "classes"),
        ("vit", remove_images, "images and normalization"),
    ],
)
def test_a_model_is_not_used_after_its_data_have_changed(
    built, small, run, project, name, change, what
):
    command, export = COMMANDS[name]
    before = run(*command).output
    change(project)
    command = [argument.replace("class0", "kind0") if change is rename_classes else argument
               for argument in command]  # fmt: skip
    prepare(small, name)
    for refused in (command, export):
        output = run(*refused, code=1).output
        assert output == (
            f"error: {model_dir(name, 0)} was trained on other data than is now in "
            f"{data_dir(name)} (different {what}): run `dvc repro train@{name}-0` to make them "
            "match\n"
        )
    assert not Path("out").exists()
    if change in (rename_words, rename_classes):  # back again: the same data
        undo(project)
        prepare(small, name)
        assert run(*COMMANDS[name][0]).output == before


def undo(project: Path) -> None:
    text = (project / "text.txt").read_text()
    (project / "text.txt").write_text(text.replace("duke", "king").replace("prior", "queen"))
    for folder in sorted((project / "images").iterdir()):
        folder.rename(folder.with_name(folder.name.replace("kind", "class")))


def test_another_normalization_of_the_same_pixels_is_noticed(built, small, run):
    content = small.content()
    content["vit"]["data"]["normalization"] = "none"
    prepare(validate(content), "vit")
    assert "(different normalization)" in run("classify", IMAGE, code=1).output


def test_the_same_data_prepared_again_change_nothing(built, small, run):
    before = run("generate", "--prompt", "the").output
    prepare(small, "gpt")
    assert run("generate", "--prompt", "the").output == before


def test_a_model_that_does_not_say_what_it_learnt_from_is_refused(built, run):
    file = model_dir("gpt", 0) / "config.json"
    config = json.loads(file.read_text())
    del config["data"]
    file.write_text(json.dumps(config))
    output = run("generate", "--prompt", "the", code=1).output
    assert "models/gpt/seed-0 does not record its training data" in output
    assert "run `dvc repro train@gpt-0`" in output
