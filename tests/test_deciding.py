"""What decides the weights stands apart from what shows, tracks and guards them.

One statement, the deps and params of `train` in dvc.yaml, decides whether DVC trains again, which
checkpoint a training continues from, and which parameters MLflow gets.
"""

import json
from pathlib import Path

import pytest

from pipeline import deciding
from pipeline.params import validate
from pipeline.yaml_file import flatten
from tests import repository
from tests.conftest import MODELS

DECIDES = {
    "pipeline/cli/stages.py": False,
    "pipeline/params.py": False,
    "pipeline/parameters/causal_lm.py": False,
    "pipeline/running/console.py": False,
    "pipeline/running/checkpoint.py": False,
    "pipeline/tracking/tracker.py": False,
    "pipeline/reporting/markdown.py": False,
    "pipeline/views/causal_lm.py": False,
    "pipeline/inference/loading.py": False,
    "pipeline/stages/aggregate.py": False,
    "pipeline/stages/evaluate.py": False,
    "pipeline/stages/report.py": False,
    "pipeline/stages/train.py": False,
    "pipeline/tasks/causal_lm.py": True,
    "pipeline/tasks/sampled_softmax.py": True,
    "pipeline/training/loop.py": True,
    "pipeline/training/numerics.py": True,
    "pipeline/training/optimizers.py": True,
    "transformer/losses.py": True,
    "transformer/weights/timm.py": False,
}
# For each file, after it got a comment: whether DVC would train the GPT again, the identity of its
# checkpoint, and the status of all stages. In one process, which imports torch and DVC once.
LOOK = """
import json, sys
from pathlib import Path
from dvc.repo import Repo
from pipeline.params import load
from pipeline.running.checkpoint import identity

def look():
    status = json.dumps(Repo().status())
    changed = "train@gpt-0" in Repo().status(["train@gpt-0"])
    return changed, identity(load(), "gpt", 0, "fingerprint"), status

found = {"": look()}
for file in map(Path, sys.argv[1:]):
    text = file.read_text()
    file.write_text(text + "\\n# A comment.\\n")
    found[str(file)] = look()
    file.write_text(text)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone in which DVC believes that the GPT is trained."""
    folder = repository.make(tmp_path_factory.mktemp("clone") / "benchmark")
    for output in ("data/gpt", "models/gpt/seed-0"):
        (folder / output).mkdir(parents=True)
        (folder / output / "file").write_text(output)
    repository.run(folder, "dvc", "commit", "--force", "prepare@gpt", "train@gpt-0")
    return folder


def test_what_decides_the_weights_trains_again_and_nothing_else_does(clone):
    found = json.loads(repository.run(clone, "python", "-c", LOOK, *DECIDES).splitlines()[-1])
    trains_again, before, status = found.pop("")
    assert not trains_again
    assert {file: changed for file, (changed, *_) in found.items()} == DECIDES
    assert {file: key != before for file, (_, key, _) in found.items()} == DECIDES
    assert {file: now != status for file, (*_, now) in found.items()} == DECIDES


def test_the_parameters_of_a_training_are_those_that_dvc_tracks(raw):
    """With the shared value or the model's own, not both."""
    raw["seeds"] = [3, 4]
    params = validate(raw)
    for name in MODELS:
        ours = deciding.parameters(params, name, 3)
        assert ours["seeds"] == [3]
        others = [other for other in MODELS if other != name]
        assert not any(key.startswith(tuple(f"{other}." for other in others)) for key in ours)
        section = params.section(name)
        for part, given in (("model", section.model), ("train", section.train)):
            for key, value in given.model_dump().items():
                found = [path for path in (f"{name}.{part}.{key}", f"{part}.{key}") if path in ours]
                assert len(found) == 1 and ours[found[0]] == value, key
        assert {f"{name}.data.{key}" for key in flatten(raw[name]["data"])} <= ours.keys()
        assert "profile" not in ours and "model_names" not in ours
