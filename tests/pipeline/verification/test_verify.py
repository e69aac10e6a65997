"""`verify` prints that a report is identical, or where it differs, and possible causes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from pipeline import params as parameters
from pipeline.errors import UserError
from pipeline.paths import model_dir, read_json, write_json
from pipeline.running import records
from pipeline.verification import environment, verify
from tests.conftest import ROOT, WITH_TARGETS
from tests.pipeline.verification.reports import (
    METRICS,
    REPORT,
    alter_last_bit,
    files,
    printed,
    rewrite,
    training_metrics,
)


def test_an_identical_report_is_confirmed_and_no_file_changes(reported, capsys):
    before = files(reported)
    capsys.readouterr()
    assert verify(REPORT, None, None)
    lines = printed(capsys).splitlines()
    for name in WITH_TARGETS:
        steps, evaluations = (6, 2) if name == "vit" else (8, 2)
        digests = [records.sha256(model_dir(name, s) / "model.safetensors")[:12] for s in (0, 1)]
        count = len(training_metrics(name, 0)) - 1  # the checksum is printed separately
        ends = ", ".join(
            f"weights with seed {s} (SHA-256 {digests[s]}), {count} metrics with seed {s}"
            for s in (0, 1)
        )
        said = f"{name:<6}identical: {steps} steps, {evaluations} evaluations, {ends}"
        assert said in lines
    assert lines[-1].startswith("not checked: metrics.md and the pictures; ")
    assert files(reported) == before


def test_a_few_steps_give_one_line_per_model(reported, capsys):
    shutil.rmtree("data")  # as in a fresh clone; verify prepares them
    before = files(reported)
    capsys.readouterr()
    assert verify(REPORT, None, 3)
    first, *lines, last = printed(capsys).splitlines()
    assert first.startswith("the report of 20")
    # The label of a report that was made outside git.
    assert first.endswith(", profile default (changes unknown: no commit has a params.yaml)")
    # Three steps are an epoch of this ViT, which ends with an evaluation.
    assert lines == [
        "bert  identical: 3 steps",
        "gpt   identical: 3 steps",
        "vit   identical: 3 steps, 1 evaluation",
    ]
    assert last.startswith("not checked: the curves after 3 steps, the weights, and metrics ")
    assert files(reported) == before


def test_the_first_line_has_the_profile_and_changes_of_the_report(reported, capsys):
    file = REPORT / "metrics.json"
    write_json(read_json(file) | {"changes": ["gpt.train.lr=0.1"]}, file)
    capsys.readouterr()
    assert verify(REPORT, [], 1)
    first = printed(capsys).splitlines()[0]
    assert first.endswith(", profile default, changed: gpt.train.lr=0.1")


@pytest.mark.parametrize("column", ["loss", "grad_norm"])
def test_one_bit_at_one_step_is_found(reported, capsys, column):
    alter_last_bit("gpt", 3, column)
    recorded = pd.read_csv(REPORT / "gpt" / "history.csv")[column][2]
    assert verify(REPORT, "gpt", 2)  # the steps before it
    capsys.readouterr()
    assert not verify(REPORT, "gpt", 5)
    _, verdict, detail, *causes, _ = printed(capsys).splitlines()
    size = verdict.removeprefix("gpt   equal within ").removesuffix(" (identical: 1 evaluation)")
    assert 1e-8 < float(size) < 2e-7
    assert f"5 steps: first differs at step 3 in {column}: {recorded:.9g} recorded, " in detail
    assert detail.endswith(f"; relative difference {size}, at most {size}")
    assert causes == [
        "      expected: identical",
        "      possible cause: code: the report does not name its commit",
    ]


def test_one_bit_of_an_evaluation_is_found(reported, capsys):
    file = REPORT / "vit" / "validation.csv"
    rows = pd.read_csv(file)
    rows.loc[1, "loss"] *= 1 + 1e-7
    rows.to_csv(file, index=False)
    assert not verify(REPORT, "vit", 6)
    out = printed(capsys)
    assert "(identical: 6 steps)" in out
    assert "2 evaluations: first differs at step 6 in loss" in out


def test_other_parameters_give_another_curve(reported, capsys):
    rewrite(lambda content: content["params"]["gpt"]["train"].update(lr=0.007))
    assert not verify(REPORT, "gpt", 4)
    out = printed(capsys)
    assert "gpt   different\n" in out
    assert "first differs at step 1 in lr: 0.003 recorded, 0.007 now" in out


def test_a_curve_of_another_length_is_not_comparable(reported, capsys):
    file = REPORT / "gpt" / "history.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert not verify(REPORT, "gpt", None)
    out = printed(capsys)
    columns = "step, tokens, lr, loss, grad_norm, delta_w"
    assert f"not comparable: 7 recorded steps of {columns}; now 8" in out


@pytest.mark.parametrize("metric", ["loss", "train_loss", "closing_loss", "parameters", "steps"])
def test_a_wrong_metric_of_a_training_is_printed(reported, capsys, metric):
    true = training_metrics("gpt", 1)[metric]

    def change(content):
        content["models"]["gpt"]["trainings"][1]["metrics"][metric] *= 2

    rewrite(change)
    capsys.readouterr()
    assert not verify(REPORT, "gpt", None)
    out = printed(capsys)
    assert f"      with seed 1, {metric}: {2 * true} recorded, {true} now\n" in out
    assert "gpt   different (identical: 8 steps, 2 evaluations, weights with seed 0" in out
    assert f"the report contradicts itself: models.gpt.metrics.{metric}: " in out


def test_metrics_that_only_one_side_has_are_printed(reported, capsys):
    def change(content):
        metrics = content["models"]["vit"]["trainings"][0]["metrics"]
        metrics["beauty"] = 1
        del metrics["flops"]

    rewrite(change)
    assert not verify(REPORT, "vit", None)
    out = printed(capsys)
    assert "      with seed 0, beauty: 1 recorded, none now\n" in out
    assert "      with seed 0, flops: none recorded, " in out


@pytest.mark.parametrize("damage", ["one bit", "no file"])
def test_damaged_data_are_an_error(reported, damage):
    file = Path("data/gpt/tokens.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink() if damage == "no file" else file.write_bytes(content)
    with pytest.raises(UserError, match=r"^data/gpt is damaged: .* `dvc repro prepare@gpt` .*$"):
        verify(REPORT, "gpt", 1)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("versions", {"torch": "1.2.3"}, "torch: 1.2.3 then, 2."),
        ("versions", {"jax": "0.4"}, "jax: 0.4 then, missing now"),
        ("machine", {"cpu": "Abacus 9", "system": "Plan 9"}, "system: Plan 9 then, "),
        ("device", "Voodoo 2", "device: Voodoo 2 then, cpu now"),
        ("git_commit", "0123456789abcdef", "code: commit 0123456789ab is not in this clone"),
    ],
)
def test_possible_causes_are_printed(reported, capsys, key, value, said):
    alter_last_bit("gpt", 1, "loss")
    training = ("models", "gpt", "trainings", 0, "record")

    def change(content):
        for part in training:
            content = content[part]
        content[key] = value

    rewrite(change)
    assert verify(REPORT, "gpt", 1) == said.startswith(("torch", "device"))  # other digits
    assert f"      possible cause: {said}" in printed(capsys)


@pytest.mark.parametrize(
    ("numerics", "precision", "named"),
    [("fast", "fp32", True), ("portable", "fp32", False), ("portable", "bf16", True)],
)
def test_another_processor_is_no_cause_with_portable_numerics_in_fp32(numerics, precision, named):
    record = {"machine": {"cpu": "Abacus 9", "system": "Linux"}, "device": "cpu", "versions": {}}
    content = parameters.load(ROOT / "params.yaml").content() | {"numerics": numerics}
    content["gpt"]["train"]["precision"] = precision
    params = parameters.validate(content)
    found = environment.differences(record | {"git_commit": None}, params)
    assert any(line.startswith("processor: Abacus 9 then, ") for line in found) == named


def test_another_torch_may_give_other_digits_in_the_first_steps(reported, capsys):
    alter_last_bit("gpt", 1, "loss")
    rewrite(lambda c: c["models"]["gpt"]["trainings"][0]["record"]["versions"].update(torch="1.0"))
    capsys.readouterr()
    assert verify(REPORT, "gpt", 1)
    out = printed(capsys)
    assert "gpt   equal within " in out
    assert "      expected: equal within 0.001 at first, because of torch\n" in out
    assert not verify(REPORT, "gpt", None)  # the whole training
    rewrite(lambda content: content["params"]["gpt"]["train"].update(lr=0.007))
    assert not verify(REPORT, "gpt", 1)  # more than last digits


def test_other_code_is_a_possible_cause(reported, capsys):
    """The training code has changed since the report's commit."""
    old = subprocess.check_output(
        ["git", "rev-list", "--max-parents=0", "HEAD"], cwd=ROOT, text=True
    ).split()[0]
    alter_last_bit("gpt", 1, "loss")
    rewrite(lambda c: c["models"]["gpt"]["trainings"][0]["record"].update(git_commit=old))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", str(ROOT / ".git"))
        patch.setenv("GIT_WORK_TREE", str(ROOT))
        assert not verify(REPORT, "gpt", 1)
    assert f"code: not as in commit {old[:12]}" in printed(capsys)


def test_a_commit_is_no_option_of_git(project):
    """Somebody else's report could otherwise empty a file."""
    Path("precious").write_text("kept")
    record = {"machine": {"cpu": "Abacus 9", "system": "Linux"}, "device": "cpu", "versions": {}}
    params = parameters.load(ROOT / "params.yaml")
    *_, line = environment.differences(record | {"git_commit": "--output=precious"}, params)
    assert line == "code: commit --output=pre is not in this clone"
    assert Path("precious").read_text() == "kept"


def test_the_first_tensor_that_differs_is_named(reported, capsys):
    """One tensor of the recorded weights differs from the repeated training."""
    file = model_dir("vit", 1) / "model.safetensors"
    tensors = load_file(file)
    changed = sorted(tensors)[3]
    tensors[changed][0] += 0.5
    save_file(tensors, file)
    digest = records.sha256(file)
    rewrite(lambda c: c["models"]["vit"]["trainings"][1]["metrics"].update(weights_sha256=digest))
    assert not verify(REPORT, "vit", None)
    out = printed(capsys)
    assert "vit   other weights (identical: 6 steps, 2 evaluations, weights with seed 0 (" in out
    assert f"weights with seed 1: the first tensor that differs is {changed}, by 0.5" in out
    shutil.rmtree("models")
    assert not verify(REPORT, "vit", None)
    assert "the size of the difference is unknown" in printed(capsys)


@pytest.mark.long
def test_the_exit_code_of_the_command_says_whether_all_is_identical(reported):
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", "verify", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    shutil.copytree("reports", "somebody/elses")
    alter_last_bit("gpt", 2, "loss")
    assert command("--model", "gpt", "--steps", "1").returncode == 0
    differs = command("--model", "gpt", "--steps", "2")
    assert (differs.returncode, differs.stderr) == (1, "gpt: training 2 steps again ...\n")
    assert "first differs at step 2 in loss" in differs.stdout
    same = command("--model", "gpt", "--all", "--report", "somebody/elses")
    assert (same.returncode, same.stderr) == (0, "")
    METRICS.unlink()
    none = command()
    assert none.returncode == 1
    assert none.stderr.startswith("error: reports/metrics.json is missing")
