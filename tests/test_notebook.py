"""The notebook of the results runs as readers run it: in a fresh clone, and after a training."""

import shutil
from pathlib import Path

import pytest

from pipeline.paths import read_json
from tests import repository
from tests.conftest import MODELS, ROOT

NOTEBOOK = "examples/results.ipynb"


def executed(folder: Path) -> list[str]:
    """What each cell of code shows in the clone `folder`: its texts, Markdown, and `<image>`s.

    Fails if a cell raises an error, or writes to standard error.
    """
    made = folder / ".cache" / "executed.ipynb"
    made.parent.mkdir(exist_ok=True)
    repository.run(folder, "jupyter", "execute", NOTEBOOK, f"--output={made}")
    shown = []
    for cell in read_json(made)["cells"]:
        parts = []
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output["text"]
            data = output.get("data", {"text/plain": output.get("text")})
            text = data.get("text/markdown") or data["text/plain"]
            parts.append("<image>" if "image/png" in data else "".join(text))
        if cell["cell_type"] == "code":
            shown.append("\n".join(parts))
    return shown


def test_it_is_committed_without_outputs():
    code = [cell for cell in read_json(ROOT / NOTEBOOK)["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_a_fresh_clone_shows_the_committed_results_and_says_what_is_missing(tmp_path):
    folder = repository.make(tmp_path / "clone")
    _, opening, verdicts, curves, samples, runs, answers = executed(folder)
    report = read_json(ROOT / "reports" / "metrics.json")
    assert report["git_commit"] in opening
    for verdict in report["verdicts"]:
        assert verdict["target"]["name"] in verdicts and f"{verdict['ours']:.4f}" in verdicts
    record = (ROOT / "reports" / "record" / "metrics.md").read_text("utf-8")
    rows = [line for line in record.splitlines() if " ± " in line and line.startswith("| ")]
    assert len(rows) == 7 and all(row in verdicts for row in rows)
    assert curves.count("<image>") == len(MODELS)
    assert samples.count("-->") == 3 and samples.count("<image>") == 3 and "■" in samples
    assert runs == "no runs: mlflow.db is missing; a training on this machine makes it\n"
    assert answers.startswith("no answers: models/bert/seed-0 is missing: run `dvc repro ")
    # It looks, and leaves nothing behind.
    assert repository.run(folder, "git", "status", "--short") == ""
    assert not (folder / "mlflow.db").exists()


@pytest.mark.long
def test_after_a_training_it_shows_the_runs_and_the_models_answer(smoke, tmp_path):
    folder = shutil.copytree(smoke[0], tmp_path / "clone", symlinks=True)
    _, opening, verdicts, _, samples, runs, answers = executed(folder)
    report = read_json(folder / "reports" / "metrics.json")
    assert report["profile"] in opening
    for verdict in report["verdicts"]:
        assert f"{verdict['ours']:.4f}" in verdicts
    assert "-->" in samples
    assert all(name in runs for name in MODELS) and "FINISHED" in runs
    assert "probability" in answers and "To be, or " in answers
