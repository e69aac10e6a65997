"""Stages that are run by hand stop if their inputs do not match."""

import shutil
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.params import Params, validate
from pipeline.paths import model_dir, prediction_dir, read_json, write_json
from pipeline.provenance import fingerprints
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from pipeline.tasks.assembly import Assembly
from tests.conftest import MODELS, ROOT


def changed(params: Params, path: str, value) -> Params:
    content = params.content()
    *sections, key = path.split(".")
    section = content
    for name in sections:
        section = section[name]
    section[key] = value
    return validate(content)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """The folder of a finished project, which all tests share."""
    return tmp_path_factory.mktemp("finished") / "project"


@pytest.fixture
def finished(small: Params, project, kept) -> Params:
    """A project after all stages except the report."""
    if kept.exists():
        shutil.copytree(kept, project, dirs_exist_ok=True)
        return small
    for name in MODELS:
        prepare(small, name)
        train(small, name, 0)
        evaluate(small, name, 0)
    shutil.copytree(ROOT / "reports" / "reference", project / "reports" / "reference")
    shutil.copy(ROOT / "reports" / "targets.yaml", project / "reports")
    shutil.copytree(project, kept)
    return small


def rewrite(project) -> None:
    words = (project / "text.txt").read_text().split()
    (project / "text.txt").write_text(" ".join(sorted(words)))


def test_a_text_that_is_prepared_anew_is_neither_evaluated_nor_reported(finished, project):
    report(finished)
    rewrite(project)
    prepare(finished, "gpt")
    for stage in (lambda: evaluate(finished, "gpt", 0), lambda: report(finished)):
        with pytest.raises(UserError, match=r"models/gpt/seed-0 was trained on other data"):
            stage()
    assert (prediction_dir("gpt", 0) / "metrics.json").exists()  # the error removes nothing
    train(finished, "gpt", 0)
    with pytest.raises(UserError, match=r"gpt/seed-0 is the evaluation of another model"):
        report(finished)
    evaluate(finished, "gpt", 0)
    report(finished)


def test_all_data_that_differ_are_listed(finished):
    file = model_dir("vit", 0) / "config.json"
    write_json(read_json(file) | {"data": {}}, file)
    with pytest.raises(UserError, match=r"\(different images, classes and normalization\): run"):
        evaluate(finished, "vit", 0)


def test_any_names_of_what_is_numbered_belong_to_the_data(tmp_path):
    found = []
    for tags in (["noun", "verb"], ["verb", "noun"]):
        write_json({"kind": "words", "fingerprint": "0", "tags": tags}, tmp_path / "meta.json")
        found.append(fingerprints(tmp_path))
    assert found[0].keys() == {"words", "tags"} and found[0] != found[1]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("gpt.data.text", "hamlet", r"gpt.data.text 'text.txt', but params.yaml has 'hamlet'"),
        ("gpt.data.tokenizer", "char", "gpt.data.tokenizer 'word', but params.yaml has 'char'"),
        ("bert.data.sequence_length", 9, "bert.data.sequence_length 8, but params.yaml has 9"),
        ("vit.data.images", "mnist", "vit.data.images 'images', but params.yaml has 'mnist'"),
        ("vit.data.image_size", 12, "vit.data.image_size 8, but params.yaml has 12"),
        ("vit.data.split_seed", 1, "vit.data.split_seed 0, but params.yaml has 1"),
        ("bert.data.examples", "lines", "bert.data.examples 'anywhere', but params.yaml has 'li"),
    ],
)
def test_data_of_other_parameters_are_not_trained_on(small, path, value, message):
    name = path.split(".")[0]
    prepare(small, name)
    with pytest.raises(UserError, match=message) as caught:
        train(changed(small, path, value), name, 0)
    assert f"run `dvc repro prepare@{name}` first" in str(caught.value)
    assert not model_dir(name, 0).exists()


@pytest.mark.parametrize("name", MODELS)
def test_prepared_data_have_all_parameters_that_they_were_made_with(small, name):
    prepare(small, name)
    wanted, source = small.section(name).data.model_dump(), small.section(name).source
    meta = read_json(Path("data") / name / "meta.json")
    assert wanted == {source: meta["source"]} | {key: meta[key] for key in wanted.keys() - {source}}


def test_data_of_other_parameters_are_not_evaluated_or_reported(finished):
    other = changed(finished, "gpt.data.text", "hamlet")
    for stage in (lambda: evaluate(other, "gpt", 0), lambda: report(other)):
        with pytest.raises(UserError, match=r"gpt.data.text 'text.txt', but params.yaml has 'haml"):
            stage()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "bert.model.n_layer",
            "models/bert/seed-0 does not match .*: its architecture.n_layer is 1, ",
        ),
        (
            "model.d_mlp",
            "models/bert/seed-0 does not match .*: its architecture.d_mlp is 32, not 2",
        ),
    ],
)
def test_a_model_of_other_parameters_is_not_evaluated(finished, path, message):
    with pytest.raises(UserError, match=message):
        evaluate(changed(finished, path, 2), "bert", 0)


def test_a_model_for_longer_sequences_is_trained_anew(finished):
    """Then the tokens and the fingerprint of the text are the same."""
    longer = changed(finished, "gpt.data.sequence_length", 16)
    prepare(longer, "gpt")
    with pytest.raises(UserError, match="its length is 8, not 16: run `dvc repro train@gpt-0`"):
        evaluate(longer, "gpt", 0)


def test_data_that_change_while_a_model_trains_are_noticed(small, project, monkeypatch):
    """DVC would record that the model was trained on the new data."""
    prepare(small, "gpt")
    plain = Assembly.train

    def run_loop(*arguments, **named):
        rewrite(project)
        prepare(small, "gpt")
        return plain(*arguments, **named)

    monkeypatch.setattr(Assembly, "train", run_loop)
    with pytest.raises(UserError, match="data/gpt changed during the training of gpt: run `dvc"):
        train(small, "gpt", 0)
    assert not model_dir("gpt", 0).exists()


def test_what_is_noted_depends_on_the_data_alone(finished):
    first = {name: (model_dir(name, 0) / "config.json").read_bytes() for name in MODELS}
    for name in MODELS:
        prepare(finished, name)
        train(finished, name, 0)
        assert (model_dir(name, 0) / "config.json").read_bytes() == first[name]
    weights = read_json(model_dir("vit", 0) / "summary.json")["weights_sha256"]
    assert read_json(prediction_dir("vit", 0) / "model.json") == {"weights_sha256": weights}
