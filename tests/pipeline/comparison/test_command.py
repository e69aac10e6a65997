import json
import subprocess
import sys

import pytest

from pipeline.comparison import statistics
from tests.pipeline.comparison import handmade
from tests.pipeline.test_cli import ROOT, pipeline

WORSE = {"gpt": {"loss": [6.0, 6.11, 6.29]}}


@pytest.fixture
def worse(repository):
    handmade.experiment(repository, "worse", WORSE)
    return repository


def test_json_has_everything(worse):
    content = json.loads(pipeline(worse, "compare", "--json").stdout)
    first, row = content["rows"]
    assert [each["name"] for each in content["experiments"]] == ["HEAD", "worse"]
    assert (row["metric"], row["experiment"], row["verdict"]) == ("gpt.loss", "worse", "worse")
    assert row["values"] == {"0": 6.0, "1": 6.11, "2": 6.29}
    assert row["difference"] == pytest.approx(1.0)
    assert first["difference"] is first["seen"] is first["p"] is None
    assert row["seen"]["paired"] is True
    expected = statistics.difference(dict(enumerate(handmade.LOSSES)),
                                     dict(enumerate(WORSE["gpt"]["loss"])))  # fmt: skip
    assert row["seen"]["margin"] == pytest.approx(expected.margin)
    assert content["costs"]["gpt"]["worse"]["flops"] == 10**12


def test_text_and_markdown_have_a_title_each(worse):
    text, markdown = (pipeline(worse, "compare", *form).stdout for form in ((), ("--markdown",)))
    assert text.startswith("gpt.loss: lower is better\n")
    assert markdown.startswith("## worse compared with HEAD\n")


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--fail-if-worse", "gpt.loss"], 1, "worse: gpt.loss of worse\n"),
        (["worse", "HEAD", "--fail-if-worse", "gpt.loss"], 0, ""),
        (["--fail-if-worse", "bert.loss"], 2, "error: no metric bert.loss; known: gpt.loss\n"),
        (["--model", "vit"], 1, "error: no model 'vit' of HEAD to compare"),
        (["--model", "gpt"], 0, ""),
        (["nothing"], 1, "error: 'nothing' is no experiment, branch, tag or commit"),
        (["HEAD~1"], 1, "error: HEAD~1 has no results"),
    ],
)  # fmt: skip
def test_each_failure_has_its_exit_code_and_message(worse, arguments, code, message):
    done = pipeline(worse, "compare", *arguments)
    assert (done.returncode, done.stderr[: len(message)]) == (code, message)
    assert bool(done.stderr) == bool(message)


def test_what_cannot_be_told_does_not_pass_a_guard(repository):
    handmade.experiment(repository, "one", {"gpt": {"loss": [5.0]}})
    done = pipeline(repository, "compare", "--fail-if-worse", "gpt.loss")
    assert done.returncode == 2
    assert "one run: cannot be told; train both with several seeds" in done.stderr


def test_it_starts_without_torch_and_mlflow(worse):
    code = (
        "import sys; from pipeline.comparison import command\n"
        "assert command.compare((), None, None, None, ('gpt.loss',)) is False\n"
        "print(sys.modules.keys() & {'torch', 'mlflow', 'dvc', 'matplotlib', 'vl_convert'})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=worse, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.endswith("set()\n"), done.stderr
