"""What `pip install .` gives: the library `transformer`, which imports torch alone."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_dependencies import normal

USE = """
import torch, transformer
from transformer.weights import from_huggingface, from_torch, to_huggingface
from transformer.weights.huggingface.preparation import read_preparation

architecture = transformer.Architecture(n_layer=1, n_head=2, d_model=8, d_mlp=16)
model = transformer.gpt(architecture, vocabulary_size=9, length=5)
loss = model.head.loss(model.encode(torch.tensor([[1, 2]])), torch.tensor([[2, 3]]))
loss.backward()
file = sys.argv[1] + "/model.pt"
transformer.save(model.eval(), file)
tokens = transformer.generate(transformer.load(file), [[1]], 4, 5, transformer.Sampling(0))
assert tokens == transformer.generate(model, [[1]], 4, 5, transformer.Sampling(0))
from_torch(torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2), 1))
try:
    to_huggingface(model, sys.argv[1] + "/exported")
except ModuleNotFoundError as error:
    print(error)
try:
    from transformer.weights.huggingface.tokenizer import read_tokenizer
except ModuleNotFoundError as error:
    print(error)
print(transformer.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the wheel of this project, without its dependencies."""
    source, folder = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("transformer", "pipeline"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "install", *options, "--target", folder, source], check=True)
    return folder


@pytest.fixture(scope="module")
def torch_alone(tmp_path_factory) -> Path:
    """A folder with torch and what it needs, of all packages of this environment."""
    folder, found, left = tmp_path_factory.mktemp("packages"), set(), ["torch"]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another platform
            continue
        for top in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(package.locate_file(top))
        wanted = [line for line in package.requires or [] if "extra ==" not in line]
        left += [normal(re.match(r"[\w.-]+", line).group()) for line in wanted]
    return folder


def run(code: str, *folders: Path) -> str:
    """What `code` prints where only the packages in these folders are installed."""
    paths = f"import sys; sys.path[:0] = {list(map(str, folders))}"
    command = [sys.executable, "-I", "-S", "-c", f"{paths}\n{code}", folders[0]]
    done = subprocess.run(command, cwd=folders[0], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_works_with_torch_alone(installed, torch_alone):
    *messages, file = run(USE, installed, torch_alone).splitlines()
    assert messages == [
        "files of Hugging Face models need safetensors: pip install 'safetensors[torch]'",
        "files of Hugging Face models need tokenizers: pip install 'tokenizers'",
    ]
    assert Path(file) == installed / "transformer" / "__init__.py"


def test_the_wheel_has_its_types_and_its_data(installed):
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*")}
    assert "transformer/py.typed" in files
    for folder in ("transformer", "pipeline"):
        kept = {
            path.relative_to(ROOT).as_posix()
            for suffix in ("*.py", "*.sha256", "*.html")
            for path in (ROOT / folder).rglob(suffix)
        }
        assert kept <= files


def test_torch_is_the_only_dependency_without_extras(installed):
    (metadata,) = installed.glob("transformer_benchmark-*.dist-info/METADATA")
    wanted = [line for line in metadata.read_text().splitlines() if line.startswith("Requires-D")]
    assert [line for line in wanted if "extra ==" not in line] == ["Requires-Dist: torch"]
