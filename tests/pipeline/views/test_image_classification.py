"""classify: its output for our model and for a folder of transformers."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, pipeline

from pipeline import provenance
from pipeline.training import models
from pipeline.views.image_classification import classes
from transformer.saving import build

IMAGE = "images/class1/3.png"


def test_classes_are_shown_with_probabilities_for_files_and_folders(built, run):
    lines = run("classify", IMAGE, "images/class2", "--top", 2).output.splitlines()
    assert len(lines) == 1 + 10
    path, best = lines[0].split(": ")
    assert path == IMAGE
    names, chances = zip(*(each.split() for each in best.split(", ")), strict=True)
    assert set(names) < {"class0", "class1", "class2"} and len(names) == 2
    assert float(chances[0][:-1]) >= float(chances[1][:-1])


def test_what_other_systems_leave_is_no_image(built, run):
    expected = run("classify", "images").output
    for name in (
        "class0/._0.png", "class0/.ipynb_checkpoints/0-checkpoint.png", "__MACOSX/class0/0.png",
        ".thumbnails/0.png", "class1/@eaDir/0.png",
    ):  # fmt: skip
        path = Path("images", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")
    assert run("classify", "images").output == expected


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_classified(built, run):
    Path("images/class1/5.png").write_bytes(b"no image")
    result = run("classify", "images/class1", code=1)
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        f"images/class1/{number}.png" for number in (0, 1, 2, 3, 4, 6, 7, 8, 9)
    ]
    assert result.stderr.startswith("error: images/class1/5.png: not a readable image")
    assert result.stderr.count("\n") == 1


def test_an_exported_model_runs_in_transformers_and_comes_back(built, run, project):
    assert "ViTForImageClassification" in run("export", "--model", "vit", project / "vit").output
    picture = project / "photo.png"  # of another size
    Image.linear_gradient("L").resize((19, 23)).convert("RGB").save(picture)
    theirs = pipeline("image-classification", model=str(project / "vit"), top_k=3)
    for file in (picture, project / IMAGE):
        expected = {each["label"]: each["score"] for each in theirs(str(file))}
        for source in (None, project / "vit"):
            ((_, found),) = classes((file,), "vit", source, 3)
            # Pillow and torchvision round the bytes of a resized image differently.
            assert dict(found) == pytest.approx(expected, abs=2e-3)


def test_a_model_of_grey_images_is_exported_as_one_of_colours(built, run, project):
    """transformers' pipelines pass only RGB images."""
    meta_path, config_path = Path("data/vit/meta.json"), Path("models/vit/seed-0/config.json")
    meta, config = (json.loads(path.read_text()) for path in (meta_path, config_path))
    meta_path.write_text(json.dumps(meta | {"channels": 1, "mean": [0.4], "std": [0.3]}))
    about = {"task": config.pop("task"), "data": provenance.fingerprints(Path("data/vit"))}
    del config["data"]
    models.save(build(config | {"channels": 1}), about, Path("models/vit/seed-0"))
    run("export", "--model", "vit", "vit")
    theirs = pipeline("image-classification", model=str(project / "vit"), top_k=3)
    expected = {each["label"]: each["score"] for each in theirs(IMAGE)}
    for source in (None, project / "vit"):
        ((_, found),) = classes((project / IMAGE,), "vit", source, 3)
        assert dict(found) == pytest.approx(expected, abs=1e-3)


def test_classes_without_names_are_called_as_transformers_calls_them(built, run, project):
    """transformers writes no names for two classes, its default number."""
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=8, image_size=8, patch_size=4)  # fmt: skip
    ViTForImageClassification(config).save_pretrained("two")
    assert "id2label" not in json.loads(Path("two/config.json").read_text())
    ViTImageProcessor(size=8).save_pretrained("two")
    theirs = pipeline("image-classification", model=str(project / "two"))
    expected = {each["label"]: each["score"] for each in theirs(IMAGE)}
    ((_, found),) = classes((Path(IMAGE),), "vit", project / "two", 5)
    assert dict(found) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["multi_label_classification", "one class", "regression"])
def test_classes_that_exclude_each_other_or_do_not_equal_theirs(built, run, project, kind):
    torch.manual_seed(0)
    count, known = (1, None) if kind == "one class" else (3, kind)
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=8, image_size=8, patch_size=4,
                       num_labels=count, problem_type=known)  # fmt: skip
    ViTForImageClassification(config).save_pretrained("own")
    ViTImageProcessor(size=8).save_pretrained("own")
    if kind == "regression":
        output = run("classify", IMAGE, "--from", "own", code=1).output
        assert output == "error: own/config.json: problem_type: 'regression' is not supported\n"
        return
    theirs = pipeline("image-classification", model=str(project / "own"))
    expected = {each["label"]: each["score"] for each in theirs(IMAGE)}
    ((_, found),) = classes((Path(IMAGE),), "vit", project / "own", 5)
    assert dict(found) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "labels", [{"1": "a", "2": "b", "3": "c"}, {"0": "a", "1": "b", "2": None}, ["a", "b", "c"]]
)
def test_names_that_do_not_fit_the_classes_are_refused(built, run, labels):
    run("export", "--model", "vit", "named")
    path = Path("named/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": labels}))
    output = run("classify", IMAGE, "--from", "named", code=1).output
    assert output.startswith("error: named") and "id2label" in output and output.count("\n") == 1


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["nowhere.png"], "nowhere.png: no such file or folder"),
        (["text.txt"], "text.txt: not a readable image"),
        (["data/gpt"], "data/gpt: no images in this folder; expected .bmp"),
        ([IMAGE, "--from", "gpt2"], "needs an image classifier"),
        ([IMAGE, "--from", "unprepared"], "preprocessor_config.json is missing"),
        ([IMAGE, "--from", "cropped"], "do_center_crop: True: not supported; expected False"),
    ],
)
def test_a_mistake_is_reported_in_a_line(built, run, project, paths, message):
    run("export", "--model", "gpt", "gpt2")
    run("export", "--model", "vit", "unprepared")
    (project / "unprepared" / "preprocessor_config.json").unlink()
    run("export", "--model", "vit", "cropped")
    (project / "cropped" / "preprocessor_config.json").write_text('{"do_center_crop": true}')
    result = run("classify", *paths, code=1)
    assert result.output.startswith("error: ") and message in result.output
    assert result.output.count("\n") == 1
