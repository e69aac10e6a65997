"""`verify` on a report that was made here: identical, or where it differs, and why it may."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from pipeline import MODELS, records, verification
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.paths import model_dir
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from pipeline.verification import derived, environment, recorded, verify
from tests.conftest import ROOT

REPORT = Path("reports")
METRICS = REPORT / "metrics.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Where the first test that needs a finished project keeps it for the others."""
    return tmp_path_factory.mktemp("finished") / "project"


@pytest.fixture
def reported(small: Params, project: Path, finished: Path) -> Path:
    """A project whose three models are trained with two seeds each, and reported."""
    if finished.exists():
        shutil.copytree(finished, project, dirs_exist_ok=True)
        return project
    params = small.model_copy(update={"seeds": [0, 1], "threads": 1})
    for name in MODELS:
        prepare(params, name)
        train(params, name)
        evaluate(params, name)
    shutil.copytree(ROOT / "reports" / "reference", REPORT / "reference")
    shutil.copy(ROOT / "reports" / "targets.yaml", REPORT)
    report(params)
    shutil.copytree(project, finished)
    return project


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, with its content."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): content for path, content in found.items()}


def rewrite(change) -> None:
    """Change what metrics.json says."""
    content = json.loads(METRICS.read_text())
    change(content)
    METRICS.write_text(json.dumps(content))


def training_figures(name: str, index: int) -> dict:
    """What metrics.json says of a training."""
    return json.loads(METRICS.read_text())["models"][name]["trainings"][index]["figures"]


def alter_last_bit(name: str, step: int, column: str) -> None:
    """Change a recorded figure to the next number that single precision has."""
    file = REPORT / name / "history.csv"
    lines = file.read_text().splitlines()
    row = lines[step].split(",")
    index = lines[0].split(",").index(column)
    row[index] = f"{np.nextafter(np.float32(row[index]), np.float32(1e9)):.9g}"
    lines[step] = ",".join(row)
    file.write_text("\n".join(lines) + "\n")


def test_everything_is_identical_and_nothing_is_touched(reported, capsys):
    before = files(reported)
    capsys.readouterr()
    assert verify(REPORT, list(MODELS), None)
    lines = capsys.readouterr().out.splitlines()
    for name in MODELS:
        steps, evaluations = (6, 2) if name == "vit" else (8, 2)
        digests = [records.sha256(model_dir(name, s) / "model.safetensors")[:12] for s in (0, 1)]
        count = len(training_figures(name, 0)) - 1  # the checksum is told by itself
        ends = ", ".join(
            f"weights with seed {s} (SHA-256 {digests[s]}), {count} figures with seed {s}"
            for s in (0, 1)
        )
        said = f"{name:<6}identical: {steps} steps, {evaluations} evaluations, {ends}"
        assert said in lines
    assert lines[-1].startswith("not checked: metrics.md and the pictures; ")
    assert files(reported) == before


def test_a_few_steps_are_told_in_one_line_a_model(reported, capsys):
    shutil.rmtree("data")  # as in a fresh clone: prepared for the occasion
    before = files(reported)
    capsys.readouterr()
    assert verify(REPORT, list(MODELS), 3)
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first.startswith("the report of 20") and first.endswith("profile default")
    # Three steps are an epoch of this ViT's, and so end with an evaluation.
    assert lines == [
        "bert  identical: 3 steps",
        "gpt   identical: 3 steps",
        "vit   identical: 3 steps, 1 evaluation",
    ]
    assert last.startswith("not checked: the curves after 3 steps, the weights, and figures ")
    assert files(reported) == before


@pytest.mark.parametrize("column", ["loss", "grad_norm"])
def test_one_bit_at_one_step(reported, capsys, column):
    alter_last_bit("gpt", 3, column)
    recorded = pd.read_csv(REPORT / "gpt" / "history.csv")[column][2]
    assert verify(REPORT, ["gpt"], 2)  # the steps before it
    capsys.readouterr()
    assert not verify(REPORT, ["gpt"], 5)
    _, verdict, detail, *causes, _ = capsys.readouterr().out.splitlines()
    size = verdict.removeprefix("gpt   equal within ").removesuffix(" (identical: 1 evaluation)")
    assert 1e-8 < float(size) < 2e-7
    assert f"5 steps: first differs at step 3 in {column}: {recorded:.9g} recorded, " in detail
    assert detail.endswith(f", {size} of it; at most {size}")
    assert causes == [
        "      may explain it: code: the report does not name its commit",
    ]


def test_one_bit_of_an_evaluation(reported, capsys):
    file = REPORT / "vit" / "validation.csv"
    rows = pd.read_csv(file)
    rows.loc[1, "loss"] *= 1 + 1e-7
    rows.to_csv(file, index=False)
    assert not verify(REPORT, ["vit"], 6)
    out = capsys.readouterr().out
    assert "(identical: 6 steps)" in out
    assert "2 evaluations: first differs at step 6 in loss" in out


def test_other_parameters(reported, capsys):
    rewrite(lambda content: content["params"]["gpt"]["train"].update(lr=0.007))
    assert not verify(REPORT, ["gpt"], 4)
    out = capsys.readouterr().out
    assert "gpt   different\n" in out
    assert "first differs at step 1 in lr: 0.003 recorded, 0.007 now" in out


def test_a_curve_of_another_length(reported, capsys):
    file = REPORT / "gpt" / "history.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert not verify(REPORT, ["gpt"], None)
    out = capsys.readouterr().out
    assert "not comparable: 7 recorded steps of step, lr, loss, grad_norm, delta_w; now 8" in out


@pytest.mark.parametrize("figure", ["loss", "train_loss", "closing_loss", "parameters", "steps"])
def test_a_figure_that_the_training_does_not_give(reported, capsys, figure):
    true = training_figures("gpt", 1)[figure]

    def change(content):
        content["models"]["gpt"]["trainings"][1]["figures"][figure] *= 2

    rewrite(change)
    capsys.readouterr()
    assert not verify(REPORT, ["gpt"], None)
    out = capsys.readouterr().out
    assert f"      with seed 1, {figure}: {2 * true} recorded, {true} now\n" in out
    assert "gpt   different (identical: 8 steps, 2 evaluations, weights with seed 0" in out
    assert f"the report contradicts itself: gpt: {figure}: " in out


def test_figures_that_only_one_side_has(reported, capsys):
    def change(content):
        figures = content["models"]["vit"]["trainings"][0]["figures"]
        figures["beauty"] = 1
        del figures["flops"]

    rewrite(change)
    assert not verify(REPORT, ["vit"], None)
    out = capsys.readouterr().out
    assert "      with seed 0, beauty: 1 recorded, none now\n" in out
    assert "      with seed 0, flops: none recorded, " in out


def everywhere(figure: str, factor: float):
    """Change a figure of GPT's wherever metrics.json has it but for the verdicts."""

    def change(content):
        gpt = content["models"]["gpt"]
        for figures in (gpt["figures"], *(training["figures"] for training in gpt["trainings"])):
            figures[figure] *= factor

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(targets_met=9), "targets_met: 9 recorded, 0 by the figures"),
        (lambda c: c.update(profile="best"), "profile: 'best' recorded, 'default' by"),
        (lambda c: c.update(one_class_only=[7]), "one_class_only: [7] recorded, ["),
        (lambda c: c["verdicts"].pop(), "6 verdicts recorded, on 7 targets here"),
        (lambda c: c["verdicts"][1].update(met=True), "gpt training loss: met: True recorded, F"),
        (lambda c: c["verdicts"][1].update(ours=0.1), "gpt training loss: ours: 0.1 recorded, "),
        (lambda c: c["verdicts"][1].update(value=9), "training loss: value: 9 recorded, 0.2291 b"),
        (lambda c: c["models"]["gpt"]["figures"].update(loss=0.1), "gpt: loss: 0.1 recorded, "),
        (everywhere("loss", 0.9), "gpt validation loss: ours: "),
        (everywhere("closing_loss", 0.9), "      the report contradicts itself: closing_loss: "),
        (everywhere("parameters", 2), "      the report contradicts itself: parameters: "),
        (
            lambda c: [t["figures"].pop("loss") for t in c["models"]["gpt"]["trainings"]],
            "the figures of a training lack 'loss', which means or verdicts are made of",
        ),
    ],
)
def test_a_report_that_contradicts_itself(reported, capsys, change, said):
    rewrite(change)
    capsys.readouterr()
    assert not verify(REPORT, ["gpt"], 1)
    out = capsys.readouterr().out
    assert said in out
    assert "gpt   identical: 1 step\n" in out


def test_other_headline_figures(reported, capsys):
    file = REPORT / "gpt" / "metrics.json"
    content = json.loads(file.read_text())
    content["gpt"] |= {"loss": 0.1, "train_loss_std": 0.5}
    file.write_text(json.dumps(content))
    assert not verify(REPORT, ["gpt"], 1)
    out = capsys.readouterr().out
    assert f"the report contradicts itself: {file}: loss: 0.1 recorded, " in out
    assert f"the report contradicts itself: {file}: train_loss_std: 0.5 recorded, " in out
    for text in ("[]", '{"gpt": {"loss": "low"}}', "{"):
        file.write_text(text)
        with pytest.raises(UserError, match=r"gpt/metrics.json: not "):
            verify(REPORT, ["gpt"], 1)


def test_the_best_evaluation_of_a_single_seed(reported):
    """Curves of one seed tell it, while means over several do not."""
    report, params = recorded.read(METRICS)
    model, kept = report.models["gpt"], model_dir("gpt", 0)
    curves = [recorded.curve(kept / file) for file in ("history.csv", "validation.csv")]
    again = verification._train(params, "gpt", 0, Path("data/gpt"), 1)
    single = model.model_copy(
        update={
            "trainings": model.trainings[:1],
            "figures": model.trainings[0].figures.model_dump(),
        }
    )
    assert derived.curve_contradictions(single, *curves, again.summary) == []
    single.figures["best_validation_loss"] -= 0.1
    [line] = derived.curve_contradictions(single, *curves, again.summary)
    assert line.startswith("best_validation_loss: ")


@pytest.mark.parametrize("damage", ["one bit", "no file"])
def test_damaged_data(reported, damage):
    file = Path("data/gpt/tokens.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink() if damage == "no file" else file.write_bytes(content)
    with pytest.raises(UserError, match=r"^data/gpt is damaged: .* `dvc repro prepare@gpt` .*$"):
        verify(REPORT, ["gpt"], 1)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("versions", {"torch": "1.2.3"}, "torch: 1.2.3 then, 2."),
        ("versions", {"jax": "0.4"}, "jax: 0.4 then, missing now"),
        ("machine", {"cpu": "Abacus 9", "system": "Linux x86_64"}, "processor: Abacus 9 then, "),
        ("device", "Voodoo 2", "device: Voodoo 2 then, cpu now"),
        ("git_commit", "0123456789abcdef", "code: commit 0123456789ab is not in this clone"),
    ],
)
def test_what_may_explain_it(reported, capsys, key, value, said):
    alter_last_bit("gpt", 1, "loss")
    training = ("models", "gpt", "trainings", 0, "record")

    def change(content):
        for part in training:
            content = content[part]
        content[key] = value

    rewrite(change)
    assert not verify(REPORT, ["gpt"], 1)
    assert f"      may explain it: {said}" in capsys.readouterr().out


def test_other_code(reported, capsys):
    """The report's commit is known, and the code that trains has changed since."""
    old = subprocess.check_output(
        ["git", "rev-list", "--max-parents=0", "HEAD"], cwd=ROOT, text=True
    ).split()[0]
    alter_last_bit("gpt", 1, "loss")
    rewrite(lambda c: c["models"]["gpt"]["trainings"][0]["record"].update(git_commit=old))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", str(ROOT / ".git"))
        patch.setenv("GIT_WORK_TREE", str(ROOT))
        assert not verify(REPORT, ["gpt"], 1)
    assert f"code: not as in commit {old[:12]}" in capsys.readouterr().out


def test_other_weights(reported, capsys):
    """Of the recorded weights one tensor differs from what the training gives."""
    file = model_dir("vit", 1) / "model.safetensors"
    tensors = load_file(file)
    changed = sorted(tensors)[3]
    tensors[changed][0] += 0.5
    save_file(tensors, file)
    digest = records.sha256(file)
    rewrite(
        lambda c: c["models"]["vit"]["trainings"][1]["figures"].update(weights_sha256=digest)
    )
    assert not verify(REPORT, ["vit"], None)
    out = capsys.readouterr().out
    assert "vit   other weights (identical: 6 steps, 2 evaluations, weights with seed 0 (" in out
    assert f"weights with seed 1: the first tensor that differs is {changed}, by 0.5" in out
    shutil.rmtree("models")
    assert not verify(REPORT, ["vit"], None)
    assert "how much is not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"metrics.json is missing: run `dvc repro` first, or name a report"),
        ("loss: 1", "not JSON"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "not JSON"),
        ("[]", "not a report of this version of the program\n  at the top: "),
        (
            '{"git_commit": "0123abc-dirty"}',
            "`git checkout 0123abc` first\n  finished: field required",
        ),
        ('{"git_commit": "abc; reboot"}', "version of the program\n  finished: field required"),
        ('{"git_commit": 5}', "version of the program\n  finished: field required"),
        ("[" * 100_000, "not JSON of a report: nested too deeply"),
        ('{"a":' * 100_000, "not JSON of a report: nested too deeply"),
        ("9" * 5000, "not JSON: "),
        (
            r'{"finished": "", "git_commit": null, "params": {"\u001b[2J": 1}, "profile": "", '
            r'"targets_met": 0, "targets_comparable": 0, "one_class_only": [], "verdicts": [], '
            r'"models": {}}',
            "\n  \N{REPLACEMENT CHARACTER}.2J: unknown key",
        ),
    ],
)
def test_not_a_report(project, content, message):
    METRICS.parent.mkdir()
    if content is not None:
        METRICS.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        verify(REPORT, list(MODELS), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["params"]["model"].update(n_layer="two"), "model.n_layer: should be a valid"),
        (lambda c: c["params"]["model"].update(depth=2), "model.depth: unknown key"),
        (lambda c: c["params"].update(seeds=[0, 1, 2]), r"models.bert: not a training for each"),
        (lambda c: c["models"].pop("vit"), "models.vit: not a training for each"),
        (lambda c: c["models"]["gpt"].update(trainings=1), "models.gpt.trainings: "),
        (lambda c: c["models"]["gpt"]["data"].update(fingerprint="0"), "not the report's data"),
    ],
)
def test_a_report_that_is_not_whole(reported, change, message):
    rewrite(change)
    with pytest.raises(UserError, match=message):
        verify(REPORT, ["gpt"], 1)


@pytest.mark.parametrize("commit", ["--output=precious", "HEAD", "abc", "0123abc\n", 5])
@pytest.mark.parametrize("where", [(), ("models", "gpt", "trainings", 0, "record")])
def test_a_commit_that_is_none(reported, commit, where):
    """Git would take the first for an option, and write into that file."""
    precious = Path("precious")
    precious.write_text("kept")
    alter_last_bit("gpt", 1, "loss")

    def change(content):
        for part in where:
            content = content[part]
        content["git_commit"] = commit

    rewrite(change)
    with pytest.raises(UserError, match="git_commit: ") as told:
        verify(REPORT, ["gpt"], 1)
    assert "git checkout" not in str(told.value)
    environment._code(str(commit))  # nor does git, were it given it
    assert precious.read_text() == "kept"


def test_a_report_does_not_steer_the_terminal(reported, capsys):
    alter_last_bit("gpt", 1, "loss")
    bad = "\x1b[2J\ngpt   identical: 8 steps\u202e\ud800"

    def change(content):
        record = content["models"]["gpt"]["trainings"][0]["record"]
        content["finished"] = record["device"] = record["versions"][bad] = bad

    rewrite(change)
    capsys.readouterr()
    assert not verify(REPORT, ["gpt"], 1)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert "\ngpt   identical" not in out
    file = REPORT / "gpt" / "history.csv"
    file.write_text(file.read_text().replace("grad_norm", "grad\x1b[2J"))
    assert not verify(REPORT, ["gpt"], 1)
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing: there is no curve"),
        ("", "not a curve"),
        ("step,loss\n1,low", "low"),
        ("step,loss\n1,2,3", "longer than the header"),
    ],
)
def test_not_a_curve(reported, text, message):
    file = REPORT / "gpt" / "history.csv"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UserError, match=message):
        verify(REPORT, ["gpt"], 1)


def test_the_command(reported):
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
    assert (differs.returncode, differs.stderr) == (1, "")
    assert "first differs at step 2 in loss" in differs.stdout
    same = command("--model", "gpt", "--all", "--report", "somebody/elses")
    assert (same.returncode, same.stderr) == (0, "")
    METRICS.unlink()
    none = command()
    assert none.returncode == 1
    assert none.stderr.startswith("error: reports/metrics.json is missing")
