"""Overrides are checked as DVC will apply them, before it removes anything."""

import shutil

import pytest

from pipeline import overrides, yaml_file
from pipeline.errors import ParamsError
from pipeline.params import load
from tests.conftest import ROOT


@pytest.fixture
def clone(project):
    """The files that DVC needs to compose params.yaml with a profile and overrides."""
    for name in ("params.yaml", "profile", ".dvc/config"):
        source, target = ROOT / name, project / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return project


@pytest.mark.parametrize(
    "good",
    [
        [],
        ["model.n_layer=3", "gpt.train.lr=1e-05"],
        ["+profile=smoke"],
        ["+bert.model.n_layer=2", "~gpt.model.dropout"],
        ["seeds=[0,1,2]", "model_names=[gpt]", "device=cpu"],
        ["gpt.data.text='data/own/it\\'s mine.txt'"],
        ["model.n_layer=2,4,6", "gpt.train.lr=0.1,0.2"],
        ["dvc.yaml:stages.report.desc=words"],
    ],
)
def test_what_dvc_and_the_stages_accept_is_accepted(clone, good):
    overrides.check(good)


def test_no_key_is_the_name_of_a_folder():
    """Hydra takes such a folder for a group of files, and refuses a value."""
    stages = yaml_file.read(ROOT / "dvc.yaml")["stages"].values()
    outputs = {str(each).split("/")[0] for stage in stages for each in stage.get("outs", [])}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert "models" in outputs
    assert not (outputs | folders - {"profile"}) & set(load(ROOT / "params.yaml").content())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (["model.n_layer=two"], "model.n_layer: should be a valid integer, found str 'two'"),
        (["model.n_layer=2,two"], "with -S model.n_layer=two: "),
        (["model.n_head=3"], "model.d_model: 128 is not divisible by model.n_head, 3"),
        (["+model.n_layers=3"], "model.n_layers: unknown key; did you mean 'n_layer'?"),
        (["bert.model.n_layer=3"], "n_layer'. To append to your config use +bert.model.n_layer=3"),
        (["gpt.train.clip_norm=1"], "config use +gpt.train.clip_norm=1"),  # it is shared
        (["~gpt.train.lr"], "gpt.train.lr: missing"),
        (["+profile=smoky"], "profile/smoky"),
        (["model.n_layer"], "-S model.n_layer: "),
        (["gpt.data.text=[a"], "-S gpt.data.text=[a: "),
        (["+profile=smoke", "vit.data.image_size=15"], "15 is not divisible by vit.model.patch"),
    ],
)
def test_what_they_would_refuse_is_refused_with_the_reason(clone, bad, said):
    before = (clone / "params.yaml").read_bytes()
    with pytest.raises(ParamsError) as error:
        overrides.check(bad)
    assert said in str(error.value)
    assert (clone / "params.yaml").read_bytes() == before


def test_a_file_that_is_wrong_itself_is_refused(clone):
    text = (clone / "params.yaml").read_text()
    for wrong in (text.replace("n_layer: 4", "n_layer: four"), text + "model: {}\n", "- a\n"):
        (clone / "params.yaml").write_text(wrong)
        with pytest.raises(ParamsError, match=r"^params\.yaml"):
            overrides.check([])


@pytest.mark.parametrize(
    "command",
    [
        "exp run -S model.n_layer=two",
        "experiments run --queue --set-param model.n_layer=4 --set-param=model.n_layer=4,two",
        "-q exp run --temp -Smodel.n_layer=two train@gpt",
    ],
)
def test_a_command_that_would_fail_is_refused(clone, command):
    with pytest.raises(ParamsError, match=r"model\.n_layer: should be a valid integer"):
        overrides.check_command(command.split())


def test_the_parameters_of_each_run_are_returned(clone):
    runs = overrides.check_command(["exp", "run", "--queue", "-S", "gpt.train.lr=0.1,0.2"])
    assert [params.section("gpt").train.lr for params in runs] == [0.1, 0.2]
    (params,) = overrides.check_command(["repro"])
    assert params.section("gpt").train.lr == 0.003


def test_other_commands_are_left_to_dvc(clone, capfd):
    (clone / "params.yaml").write_text("model: 1\n")
    for command in ("exp show", "status", "exp run --help", "repro --nonsense", "run", "exp run"
                    " --run-all", "queue start", "exp show run"):  # fmt: skip
        overrides.check_command(command.split())
    assert capfd.readouterr() == ("", "")
    for command in ("repro", "repro train@gpt", "exp run"):
        with pytest.raises(ParamsError):
            overrides.check_command(command.split())
