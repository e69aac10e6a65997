"""The README.md of an export: its examples run as printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import provenance
from pipeline.training import models
from tests import repository
from tests.conftest import EXPORTED
from transformer.saving import build

CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def samples(folder: Path) -> list[str]:
    """The output of each code block, run in the folder."""
    printed = []
    for code in CODE.findall((folder / "README.md").read_text("utf-8")):
        command = [sys.executable, "-W", "ignore", "-c", code]
        environment = repository.environment() | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    return printed


@pytest.mark.long
@pytest.mark.parametrize("name", EXPORTED)
def test_the_samples_of_an_export_run(built, run, project, name):
    run("export", "--model", name, "out")
    first, *others = samples(project / "out")
    if name == "gpt":
        assert len(first.split()) > 6  # longer than the prompt
    else:
        lines = [line.split() for line in first.splitlines()]
        assert len(lines) == 3 and all(line[0].endswith("%") for line in lines)
    assert others == ([""] if name == "bert" else [])


def test_images_that_become_colours_are_reported(built, run, project):
    run("export", "--model", "vit", "colours")
    meta, config = Path("data/vit/meta.json"), Path("models/vit/seed-0/config.json")
    grey = {"channels": 1, "mean": [0.4], "std": [0.3]}
    meta.write_text(json.dumps(json.loads(meta.read_text()) | grey))
    values = json.loads(config.read_text()) | {"channels": 1}
    about = {"task": values.pop("task"), "data": provenance.fingerprints(meta.parent)}
    del values["data"]
    models.save(build(values), about, config.parent)
    run("export", "--model", "vit", "grey")
    note = "trained on grey images"
    assert note in Path("grey/README.md").read_text()
    assert note not in Path("colours/README.md").read_text()


def test_exports_and_models_have_the_permissions_of_new_files(built, run, project):
    """They have the permissions of new files."""
    (new := project / "new").touch()
    for name in EXPORTED:
        run("export", "--model", name, f"exported/{name}")
    files = [file for kind in ("exported", "models", "data") for file in Path(kind).rglob("*.*")]
    assert {"README.md", "model.safetensors", "tokens.safetensors"} <= {file.name for file in files}
    for file in files:
        assert file.stat().st_mode == new.stat().st_mode, file
