"""Overrides are checked as DVC will apply them, before it removes anything."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from pipeline import overrides
from pipeline.errors import ParamsError
from tests.conftest import ROOT


@pytest.fixture
def clone(project):
    """The files that DVC needs to compose params.yaml with a profile and overrides."""
    for name in ("params.yaml", "profile", ".dvc/config"):
        source, target = ROOT / name, project / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    own = project / "data" / "own"
    own.mkdir(parents=True)
    for name in ("it's mine.txt", "novel.txt"):
        (own / name).write_text("words")
    return project


@pytest.mark.parametrize(
    "good",
    [
        [],
        ["model.n_layer=3", "gpt.train.lr=1e-05"],
        ["+profile=smoke"],
        ["+bert.model.n_layer=2", "~gpt.model.dropout"],
        ["seeds=[0,1,2]"],
        ["gpt.data.text='data/own/it\\'s mine.txt'"],
        ["model.n_layer=2,4,6", "gpt.train.lr=0.1,0.2"],
        ["dvc.yaml:stages.report.desc=words"],
    ],
)
def test_what_dvc_and_the_stages_accept(clone, good):
    overrides.check(good)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (["model.n_layer=two"], "model.n_layer: should be a valid integer, found str 'two'"),
        (["model.n_layer=2,two"], "with -S model.n_layer=two: "),
        (["model.n_head=3"], "model.d_model: 128 is not divisible by model.n_head, 3 heads"),
        (["+model.n_layers=3"], "model.n_layers: unknown key; did you mean 'n_layer'?"),
        (["bert.model.n_layer=3"], "n_layer'. To append to your config use +bert.model.n_layer=3"),
        (["gpt.train.clip_norm=1"], "config use +gpt.train.clip_norm=1"),  # it is shared
        (["~gpt.train.lr"], "gpt.train.lr: missing"),
        (["+profile=smoky"], "profile/smoky"),
        (["model.n_layer"], "-S model.n_layer: "),
        (["gpt.data.text=[a"], "-S gpt.data.text=[a: "),
        (["+profile=smoke", "vit.data.image_size=15"], "15 is not divisible by vit.model.patch"),
        (["gpt.data.text=data/own/novl.txt"], "no file 'data/own/novl.txt'; did you mean 'data/ow"),
        (["gpt.data.text=hamlet,hamlt"], "gpt.data.text: no file 'hamlt'; did you mean 'hamlet'?"),
        (["vit.data.images=data/own/x"], "no folder 'data/own/x'; known names: mnist, pizza_steak"),
    ],
)
def test_what_they_would_refuse(clone, bad, said):
    before = (clone / "params.yaml").read_bytes()
    with pytest.raises(ParamsError) as error:
        overrides.check(bad)
    assert said in str(error.value)
    assert (clone / "params.yaml").read_bytes() == before


def test_what_this_machine_lacks_is_told_at_once(clone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError) as error:
        overrides.check(["device=cuda", "bert.data.text=data/own"])
    assert "device: cuda, but torch sees no CUDA GPU" in str(error.value)
    assert "bert.data.text: no file 'data/own'" in str(error.value)


def test_a_missing_compiler_is_told_at_once(clone):
    """Only where the value is new: with the old one nothing may have to run."""
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(clone / "inductor")}
    environment = os.environ | cache | {"CXX": "no-such-compiler", "PYTHONPATH": str(ROOT)}
    code = "from pipeline.overrides import check; check(['train.compile=true'])"
    command = [sys.executable, "-c", code]
    options = {"cwd": clone, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, **options)
    assert "  train.compile: true, but torch cannot compile here (" in done.stderr
    assert done.stderr.count("cannot compile here") == 1
    used = {"params.yaml": {"train": {"compile": True}}}
    (clone / "dvc.lock").write_text(json.dumps({"stages": {"train@bert-0": {"params": used}}}))
    assert subprocess.run(command, **options).returncode == 0


def test_a_result_of_data_that_are_gone_stays_usable(clone):
    """Their stages do not run again."""
    key = "gpt.data.text=data/own/gone.txt"
    with pytest.raises(ParamsError, match="no file"):
        overrides.check([key])
    used = {"params.yaml": {"gpt.data": {"text": "data/own/gone.txt"}}}
    (clone / "dvc.lock").write_text(json.dumps({"stages": {"prepare@gpt": {"params": used}}}))
    overrides.check([key])


def test_a_file_that_is_wrong_itself(clone):
    text = (clone / "params.yaml").read_text()
    for wrong in (text.replace("n_layer: 4", "n_layer: four"), text + "model: {}\n", "- a\n"):
        (clone / "params.yaml").write_text(wrong)
        with pytest.raises(ParamsError, match=r"^params\.yaml"):
            overrides.check([])


def test_where_hydra_is_off_dvc_applies_overrides_to_the_file(clone):
    """With `--no-hydra`, and with a configuration without Hydra."""
    overrides.check(["model.n_layer=3"], hydra=False)
    with pytest.raises(ParamsError, match=r"model\.n_layer: should be a valid integer"):
        overrides.check(["model.n_layer=two"], hydra=False)
    (clone / ".dvc" / "config").write_text("")
    with pytest.raises(ParamsError, match="profile"):
        overrides.check(["+profile=smoke"])


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


def test_other_commands_are_left_to_dvc(clone, capfd):
    (clone / "params.yaml").write_text("model: 1\n")
    for command in ("exp show", "status", "exp run --help", "repro --nonsense", "run", "exp run"
                    " --run-all", "queue start", "exp show run"):  # fmt: skip
        overrides.check_command(command.split())
    assert capfd.readouterr() == ("", "")
    for command in ("repro", "repro train@gpt", "exp run"):
        with pytest.raises(ParamsError):
            overrides.check_command(command.split())
