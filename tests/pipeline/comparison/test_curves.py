import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.comparison import experiments
from pipeline.comparison.curves import POINTS, curves
from pipeline.comparison.revisions import resolve
from pipeline.errors import UserError
from tests.pipeline.comparison import handmade
from tests.repository import save


def drawn(name="workspace", model="gpt"):
    points, complete = curves(experiments.read(resolve(name)), model)
    return pd.DataFrame(points), complete


def write_seeds(seeds=3, steps=40):
    """Curves of single seeds, as `train` writes them; returns their losses by seed."""
    rng = np.random.default_rng(0)
    losses = rng.uniform(1, 2, (seeds, steps))
    for seed, loss in enumerate(losses):
        folder = Path(f"models/gpt/seed-{seed}")
        folder.mkdir(parents=True)
        steps_seen = pd.DataFrame(
            {"step": range(1, steps + 1), "tokens": 10 * np.arange(1, steps + 1)}
        )
        steps_seen.assign(loss=loss).to_csv(folder / "history.csv", index=False)
        evaluated = steps_seen.assign(loss=loss, accuracy=loss / 4)[9::10]
        evaluated.to_csv(folder / "validation.csv", index=False)
        report = json.loads(Path("reports/metrics.json").read_text())
        (metrics,) = (
            each["metrics"] for each in report["models"]["gpt"]["trainings"] if each["seed"] == seed
        )
        summary = {"weights_sha256": metrics["weights_sha256"]}
        (folder / "summary.json").write_text(json.dumps(summary))
    return losses


def test_curves_are_means_and_ranges_over_the_seeds(repository):
    losses = write_seeds()
    found, complete = drawn()
    assert complete
    assert set(found["metric"]) == {"training batches", "loss"}  # no metric: accuracy
    assert set(found["experiment"]) == {"workspace"}
    evaluated = found[found["metric"] == "loss"]
    assert evaluated["seen"].tolist() == [100, 200, 300, 400]
    for key, expected in (
        ("mean", losses.mean(0)),
        ("low", losses.min(0)),
        ("high", losses.max(0)),
    ):
        np.testing.assert_allclose(evaluated[key], expected[9::10])


def test_a_long_curve_has_means_of_successive_steps(repository):
    losses = write_seeds(steps=4 * POINTS)
    found, _ = drawn()
    found = found[found["metric"] == "training batches"]
    assert len(found) == POINTS
    blocks = losses.reshape(3, POINTS, 4).mean(axis=2)
    np.testing.assert_allclose(found["mean"], blocks.mean(axis=0))
    np.testing.assert_allclose(found["low"], blocks.min(axis=0))
    np.testing.assert_allclose(found["seen"], 10 * np.arange(2.5, 4 * POINTS, 4))


@pytest.mark.parametrize(
    "missing", ["models", "models/gpt/seed-1", "models/gpt/seed-2/history.csv"]
)
def test_without_the_curves_of_a_seed_there_are_the_means_of_git(repository, missing):
    write_seeds()
    place = Path(missing)
    place.unlink() if place.is_file() else shutil.rmtree(place)
    found, complete = drawn()
    assert not complete
    means = pd.read_csv("reports/gpt/validation.csv")
    evaluated = found[found["metric"] == "loss"]
    assert evaluated["mean"].tolist() == evaluated["low"].tolist() == means["loss"].tolist()


def test_curves_of_another_training_are_not_shown(repository):
    write_seeds()
    Path("models/gpt/seed-1/summary.json").write_text('{"weights_sha256": "of another"}')
    assert not drawn()[1]


def test_one_seed_needs_git_alone(repository):
    handmade.commit(repository, {"gpt": {"loss": [1.0]}})
    found, complete = drawn("HEAD")
    assert complete and not found.empty


def test_curves_that_git_has_not_are_named(repository):
    Path("reports/gpt/history.csv").unlink()
    save(repository, "No curves")
    with pytest.raises(UserError, match=r"HEAD: reports/gpt/history\.csv is missing"):
        drawn("HEAD")
