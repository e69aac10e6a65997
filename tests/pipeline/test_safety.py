"""Data, names and parameters from others cannot run code or break out of the report."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from ruamel.yaml import YAML

from pipeline.params import Params, validate
from pipeline.reporting.markdown import REFERENCE
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from tests import repository
from tests.conftest import MODELS, ROOT

NAMES = (
    "$(touch hacked)",
    "`touch hacked`",
    "a|b; touch hacked",
    "<script>alert(1)<",
    "[link](javascript:alert(1))",
    "![x](http:x)",
    "$\\frac{$ <img src=x onerror=alert(1)>",
    "**bold** _x_ # ~~x~~ &lt;b&gt;",
    "=cmd|calc!A1",
    "--help",
)
FOLDER = "<b>$(touch hacked)|`x`"
TEXT = "*novel* [x](y) $(touch hacked)|`x` <i>.txt"


@pytest.fixture
def hostile(small: Params, project: Path) -> Params:
    """The small parameters, with names that are special in shells, HTML and Markdown."""
    folder = project / FOLDER
    for number, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for copy in range(5):
            shade = Image.new("RGB", (8, 8), (20 * number, 10 * copy, 100))
            shade.save(folder / name / f"$(touch hacked) {copy}.png")
    words = (project / "text.txt").read_text()
    hostile = "``` </code><script>alert(1) \x1b[2J $x$"
    # Often enough to appear unmasked in the samples.
    for word in ("ships", "queen", "north"):
        words = words.replace(word, hostile)
    (project / TEXT).write_text(words)
    for kind in ("targets.yaml", "reference"):
        source, target = ROOT / "reports" / kind, project / "reports" / kind
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    raw = small.content()
    raw["vit"]["data"]["images"] = FOLDER
    for name in ("bert", "gpt"):
        raw[name]["data"]["text"] = TEXT
    return validate(raw)


def test_hostile_names_run_nothing_and_do_not_break_out_of_the_report(hostile, project):
    for name in MODELS:
        prepare(hostile, name)
        train(hostile, name, 0)
        evaluate(hostile, name, 0)
    report(hostile)
    assert not list(project.rglob("hacked"))
    text = (project / "reports" / "metrics.md").read_text()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    leaves = [leaf for token in tokens for leaf in (token, *(token.children or []))]
    assert not [leaf for leaf in leaves if leaf.type in ("html_block", "html_inline")]
    links = {leaf.attrs["href"] for leaf in leaves if leaf.type == "link_open"}
    images = [leaf.attrs["src"] for leaf in leaves if leaf.type == "image"]
    assert links <= set(re.findall(r"https://[^)\s]+", REFERENCE))  # only the report's own
    assert images
    assert all(re.fullmatch(r"pictures/[a-z-]+\.png", source) for source in images)
    cells = [leaf.content for leaf in leaves if leaf.type == "text"]
    assert f"{FOLDER}, decoded" in cells  # the name is plain text
    assert TEXT in cells
    shown = [token.content for token in tokens if token.type == "fence"]
    assert any("</code><script>" in content.replace(" ", "") for content in shown)
    # The models are saved as weights, JSON and tables, without pickles.
    kept = [project / folder for folder in ("data", "models", "predictions", "mlartifacts")]
    files = [file for folder in kept for file in folder.rglob("*") if file.is_file()]
    assert len([file for file in files if file.suffix == ".safetensors"]) >= 9
    for file in files:
        head = file.read_bytes()[:4]
        assert file.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib")
        assert not head.startswith((b"\x80", b"PK\x03\x04")), file


def test_a_model_and_a_seed_reach_the_command_as_one_word_each(tmp_path):
    """DVC runs `cmd` in a shell, and quotes what stands in place of ${item}."""
    content = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
    for name, stage in content["stages"].items():
        assert re.fullmatch(r"python -m pipeline [a-z]+( \$\{item\})?", stage["cmd"]), name

    hacked = "a; touch hacked"

    def rename(params: dict[str, Any]) -> None:
        params[hacked] = params.pop("bert")
        params |= {"models": [hacked], "seeds": [hacked]}

    folder = repository.make_small(tmp_path / "clone", rename)
    (folder / "data" / hacked).mkdir()
    stage = f"train@{hacked}-{hacked}"
    commands = repository.run(folder, "dvc", "repro", "--dry", "--single-item", stage)
    assert f"> python -m pipeline train --model '{hacked}' --seed '{hacked}'\n" in commands
    output = repository.run(folder, "dvc", "repro", code=255)
    assert f"{hacked}: the name of a model should be lower-case letters" in output
    assert not (folder / "hacked").exists()


def test_nothing_is_unpickled_and_no_shell_is_started():
    """By the rules of flake8-bandit: pickle, marshal, eval, exec, unsafe YAML, shells."""
    rules = "S102,S301,S302,S307,S506,S602,S604,S605,S609,S614"
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--preview"]
    command += ["--select", rules]
    places = [str(ROOT / package) for package in ("pipeline", "transformer")]
    result = subprocess.run([*command, *places], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_ui_listens_on_this_machine_alone(project):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipeline", "ui", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        family = [psutil.Process(server.pid)]
        answer = None
        end = time.monotonic() + 60
        while answer is None and time.monotonic() < end and server.poll() is None:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
            except OSError:
                time.sleep(0.2)
        assert answer is not None
        assert answer.status == 200
        answer.close()
        family += family[0].children(recursive=True)
        listening = [
            connection.laddr
            for process in family
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {address.ip for address in listening} == {"127.0.0.1"}
    finally:
        for process in (*family[0].children(recursive=True), *family[:1]):
            process.terminate()
        server.wait(20)


@pytest.mark.parametrize("port", ["0", "70000", "-1", "x"])
def test_a_port_that_is_none(project, port):
    command = [sys.executable, "-m", "pipeline", "ui", "--port", port]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert "Invalid value for '--port'" in result.stderr
