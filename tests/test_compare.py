"""`compare` on experiments that DVC has run: metrics beside scipy, a guard, and the page.

The tests follow each other in one clone.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tests import repository
from tests.browser import evaluate, needs_browser
from tests.repository import run

pytestmark = pytest.mark.long
SEEDS = (0, 1, 2)
COMPARE = ("python", "-m", "pipeline", "compare")


def one_model(params: dict[str, Any]) -> None:
    params["model_names"] = ["gpt"]
    params["seeds"] = list(SEEDS)


def evaluated(folder: Path, metric: str) -> list[float]:
    """A metric of each seed, from the output of `evaluate` in the workspace."""
    files = (folder / f"predictions/gpt/seed-{seed}/metrics.json" for seed in SEEDS)
    return [json.loads(file.read_text())[metric] for file in files]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> tuple[Path, list[float], list[float]]:
    """A clone with an experiment of a rate that is far too low, and the losses of both."""
    folder = repository.make_small(tmp_path_factory.mktemp("compare") / "benchmark", one_model)
    run(folder, "dvc", "repro")
    repository.save(folder, "Results")
    before = evaluated(folder, "loss")
    slow = ("-S", "gpt.train.lr=0.00001", "-S", "gpt.train.matrix_lr=0.00001")
    run(folder, "dvc", "exp", "run", "--name", "slow", *slow)
    return folder, before, evaluated(folder, "loss")


def test_metrics_are_those_of_the_seeds_and_of_scipy(clone):
    folder, before, after = clone
    content = json.loads(run(folder, *COMPARE, "--json"))
    (row,) = (r for r in content["rows"] if (r["metric"], r["experiment"]) == ("gpt.loss", "slow"))
    assert list(row["values"].values()) == after
    expected = stats.ttest_rel(after, before)
    assert row["seen"]["p"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert row["difference"] == pytest.approx((low + high) / 2)
    assert row["seen"]["margin"] == pytest.approx((high - low) / 2)
    assert row["verdict"] == "worse"
    assert content["differs"]["parameters"] == {
        "gpt.train.lr": [0.003, 0.00001],
        "gpt.train.matrix_lr": [0.02, 0.00001],
    }


def test_the_workspace_has_the_results_of_the_last_experiment(clone):
    folder, *_ = clone
    output = run(folder, *COMPARE, "slow", "workspace")
    assert "The same weights in all experiments: gpt." in output


def test_a_guard_ends_with_1(clone):
    folder, *_ = clone
    output = run(folder, *COMPARE, "--fail-if-worse", "gpt.loss", code=1)
    assert output.endswith("worse: gpt.loss of slow\n")


@needs_browser
def test_the_page_has_curves_samples_and_links(clone, tmp_path):
    folder, *_ = clone
    page, before = tmp_path / "page.html", run(folder, "git", "status", "--porcelain")
    output = run(folder, *COMPARE, "--page", str(page))
    assert run(folder, "git", "status", "--porcelain") == before
    assert "Curves without bands" not in page.read_text()
    found = evaluate(page, """
        document.querySelector('details').open = true;
        const side = [...document.querySelectorAll('.side > section')];
        return {samples: side.map(section => section.querySelector('pre').textContent),
                links: side.map(section => [...section.querySelectorAll('a')].map(a => a.href)),
                bands: content.curves['gpt: loss'].data.values.map(p => p.high > p.low)};
    """, tmp_path)  # fmt: skip
    assert all(found["bands"]) and len(found["bands"]) == 2
    assert all("-->" in sample for sample in found["samples"])
    for links in found["links"]:
        assert len(links) == len(SEEDS)
    report = json.loads((folder / "reports/metrics.json").read_text())
    ids = [each["record"]["mlflow_run_id"] for each in report["models"]["gpt"]["trainings"]]
    assert [link.rpartition("/")[2] for link in found["links"][1]] == ids
    assert "page: " in output


def test_without_dvcs_cache_git_has_the_metrics(clone):
    folder, *_ = clone
    metrics = run(folder, *COMPARE)
    shutil.rmtree(folder / ".dvc" / "cache")
    page = folder / "page.html"
    assert run(folder, *COMPARE, "--page", str(page)) == f"{metrics}page: {page}\n"
    assert "Curves without bands" in page.read_text()
