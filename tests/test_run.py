"""`./run` in a fresh clone that uses this environment."""

import os
import pty
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pipeline import plots
from tests import repository
from tests.conftest import ROOT

# Files that `./run` adds to the packages.
HOOK = ("torchvision_without_cuda.py", "torchvision_without_cuda.pth")
USERS_OF_TORCHVISION = """
import timm, torch, torchvision
from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig
from torchvision.transforms import v2
from transformer.weights import from_timm, from_torchvision

images = v2.Resize(224)(torch.zeros(2, 3, 24, 24))
theirs = timm.create_model("vit_tiny_patch16_224", depth=1)
print(list(from_timm(theirs)(images).shape))
theirs = torchvision.models.VisionTransformer(224, 16, 1, 3, 48, 48)
print(list(from_torchvision(theirs)(images).shape))
theirs = AutoModelForImageClassification.from_config(ViTConfig(num_hidden_layers=1, num_labels=9))
print(list(theirs(images).logits.shape))
"""


def clone(folder: Path, change: repository.Change = lambda _: None) -> Path:
    """A fresh clone with small parameters, and links to the packages of this environment."""
    repository.make_small(folder, change)
    environment, prefix = folder / ".venv", Path(sys.prefix)
    packages = environment / Path(sysconfig.get_path("purelib")).relative_to(prefix)
    packages.mkdir(parents=True)
    for part in prefix.iterdir():
        if part.name not in ("lib", "lib64", "requirements.lock"):
            (environment / part.name).symlink_to(part)
    for part in Path(sysconfig.get_path("purelib")).iterdir():
        if part.name not in HOOK:
            (packages / part.name).symlink_to(part)
    shutil.copy(folder / "requirements.lock", environment)  # marks it as complete
    return folder


def clone_with_an_environment(folder: Path, change: repository.Change = lambda _: None) -> Path:
    """A clone with its own scripts, but the packages of this environment."""
    clone(folder, change)
    scripts = folder / ".venv" / "bin"
    scripts.unlink()
    shutil.copytree(Path(sys.prefix) / "bin", scripts, symlinks=True)
    return folder


@pytest.mark.parametrize("name", ["renamed", "with a 'space', an ü and " + 100 * "x"])
def test_a_clone_that_was_moved_works_as_before(tmp_path, name):
    here = clone_with_an_environment(tmp_path / "clone")
    repository.run(here, "./run", "true")
    there = here.rename(tmp_path / name)
    assert "DVC version" in repository.run(there, "./run", "dvc", "version")
    shell = "unset PYTHONPATH; . .venv/bin/activate; command -v dvc; pip --version"
    where, version = repository.run(there, "bash", "-c", shell).splitlines()
    assert where == str(there / ".venv" / "bin" / "dvc")
    assert version.startswith("pip ")
    assert sys.prefix not in (there / ".venv" / "bin" / "dvc").read_text("utf-8")


# As pip writes them: with the path of Python in the first line, or in a shell command.
HEADS = {
    "short": "#!{python}\n",
    "long": "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_script_that_an_update_adds_moves_with_the_clone(tmp_path, head):
    here = clone_with_an_environment(tmp_path / "clone")
    repository.run(here, "./run", "true")
    scripts = here / ".venv" / "bin"
    added = scripts / "added"
    added.write_text(head.format(python=scripts / "python") + "import sys\nprint(sys.prefix)\n")
    added.chmod(0o755)
    repository.run(here, "./run", "true")
    # Nothing is left to do, so this file does not run again.
    (here / "environment" / "relocatable.py").write_text("raise SystemExit('not needed')")
    repository.run(here, "./run", "true")
    there = here.rename(tmp_path / "renamed")
    assert repository.run(there, "./run", "added").strip() == str(there / ".venv")


def test_the_environment_of_another_place_is_left_alone(tmp_path):
    """A clone with a link to an environment, as in these tests, does not change it."""
    before = (Path(sys.prefix) / "bin" / "dvc").read_bytes()
    repository.run(clone(tmp_path / "clone"), "./run", "true")
    assert (Path(sys.prefix) / "bin" / "dvc").read_bytes() == before


@pytest.mark.long
def test_a_path_that_the_locale_cannot_encode_is_no_obstacle(tmp_path):
    """A path with an ü, and an ASCII locale."""
    folder = clone(tmp_path / "sp ü c")
    environment = repository.environment() | {"LC_ALL": "C"}
    command = ["./run", "dvc", "plots", "show"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (folder / "dvc_plots" / "index.html").read_text("utf-8")
    assert len(page) > 1_000_000 and "cdn." not in page  # contains Vega, not its address


def test_a_truncated_dvc_lock_is_repaired_first(tmp_path):
    folder = clone(tmp_path / "clone")
    repository.run(folder, "dvc", "repro", "prepare@vit")
    repository.save(folder, "The images, in dvc.lock")
    whole = (folder / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_bytes(whole[: len(whole) // 2])
    assert "dvc.lock was truncated" in repository.run(folder, "./run", "dvc", "stage", "list")
    assert (folder / "dvc.lock").read_bytes() == whole


@pytest.mark.long
def test_libraries_that_import_torchvision_work_also_beside_a_cpu_build(tmp_path):
    folder = clone(tmp_path / "clone")
    printed = repository.run(folder, "./run", "python", "-W", "error", "-c", USERS_OF_TORCHVISION)
    assert printed.splitlines()[-3:] == ["[2, 1000]", "[2, 1000]", "[2, 9]"]


def test_an_environment_without_torch_starts_as_before(tmp_path):
    """The added file imports nothing, so that Python starts as fast as before."""
    folder = clone(tmp_path / "clone")
    code = "import sys; print('torchvision_without_cuda' in sys.modules, 'torch' in sys.modules)"
    assert repository.run(folder, "./run", "python", "-c", code).endswith("True False\n")


# Replaces the environment's Python, because real installations take minutes and gigabytes.
INSTALLER = """#!/bin/sh
case "$*" in *"pip install"*) echo "$*" >>installed ;; esac
case "$*" in *--index-url*) exit {code} ;; esac
"""


def without_packages(tmp_path: Path, code: int = 0) -> Path:
    """A folder with `./run` and an environment without packages; returns the packages' folder.

    code: exit code of the installation of torch's CPU builds.
    """
    script = "environment/transformer-benchmark"
    hook = "environment/torchvision_without_cuda.py"
    for name in ("run", "requirements.lock", hook, script):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "plots.html").touch()
    packages = tmp_path / ".venv" / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(INSTALLER.format(code=code))
    python.chmod(0o755)
    return packages


@pytest.mark.parametrize(("build", "code", "said"), [("cpu", 0, 0), ("cpu", 1, 1), ("cuda", 0, 0)])
def test_the_builds_of_torch_for_this_machine_are_installed_first(tmp_path, build, code, said):
    """Then those of the lock file, also if the first cannot be downloaded."""
    packages = without_packages(tmp_path, code)
    environment = repository.environment() | {"TORCH_BUILD": build, "PYTHON": sys.executable}
    command = ["./run", "true"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no CPU builds of PyTorch at https://") == said
    *first, last = (tmp_path / "installed").read_text().splitlines()
    assert last.endswith("-r requirements.lock") and "--index-url" not in last
    assert len(first) == (build == "cpu")
    assert all(re.search(r" torch==\S+ torchvision==\S+$", line) for line in first)
    assert sorted(file.name for file in packages.iterdir()) == sorted(HOOK)
    before = (tmp_path / "installed").read_text()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "installed").read_text() == before  # nothing is installed twice


@pytest.mark.parametrize("terminal", [True, False])
def test_the_installation_shows_its_progress_on_a_terminal_alone(tmp_path, terminal):
    without_packages(tmp_path)
    environment = repository.environment() | {"TORCH_BUILD": "cuda", "PYTHON": sys.executable}
    ours, theirs = pty.openpty() if terminal else os.pipe()
    subprocess.run(["./run", "true"], cwd=tmp_path, env=environment, stdout=theirs, check=True)
    for end in (ours, theirs):
        os.close(end)
    (installed,) = (tmp_path / "installed").read_text().splitlines()
    assert ("--quiet" in installed) is not terminal


def test_a_build_that_is_not_known_is_refused(tmp_path):
    folder = clone(tmp_path / "clone")
    environment = repository.environment() | {"TORCH_BUILD": "gpu"}
    command = ["./run", "true"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: TORCH_BUILD=gpu: expected cpu or cuda\n"


@pytest.mark.long
def test_a_mistake_in_the_parameters_removes_no_output(tmp_path):
    folder = clone(tmp_path / "clone")
    repository.run(folder, "./run", "dvc", "repro", "prepare@vit")
    file = folder / "params.yaml"
    right = file.read_text()
    wrong = right.replace("image_size: 14", "image_size: big")
    for text, command in (
        (right, ["dvc", "exp", "run", "-S", "vit.data.image_size=big"]),
        (right, ["dvc", "exp", "run", "--queue", "-S", "vit.data.image_size=28,big"]),
        (wrong, ["dvc", "repro"]),
        (wrong, []),
    ):
        file.write_text(text)
        output = repository.run(folder, "./run", *command, code=2)
        assert "vit.data.image_size: should be a valid integer, found str 'big'" in output
        assert output.endswith("nothing was run or removed\n")
        assert "Running stage" not in output and "Queued" not in output
        assert (folder / "data" / "vit" / "meta.json").exists()
        assert file.read_text() == text
    file.write_text(right)
    three = ["env", "PROCESSES=3", "./run", "dvc", "exp", "run", "-S", "vit.train.lr=0.1"]
    output = repository.run(folder, *three, code=1)
    assert "3 processes cannot share" in output and output.endswith("nothing was run or removed\n")
    assert file.read_text() == right


def test_offline_plots_are_there_with_their_setting_or_not_at_all(project, monkeypatch):
    def fail(command, check):
        raise subprocess.CalledProcessError(255, command)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(subprocess.CalledProcessError):
        plots.make_offline()
    assert not plots.TEMPLATE.exists()
