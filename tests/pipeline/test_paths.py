"""Files are replaced atomically; an existing file is never written into."""

import os
import shutil

import pytest

from pipeline.params import validate
from pipeline.paths import read_json, replacing, write_json
from pipeline.stages.aggregate import aggregate
from pipeline.stages.evaluate import evaluate
from pipeline.stages.prepare import prepare
from pipeline.stages.report import report
from pipeline.stages.train import train
from tests.conftest import MODELS, ROOT

OUTPUTS = ("data", "models", "predictions", "reports")


def run(params):
    for name in MODELS:
        prepare(params, name)
        train(params, name, 0)
        evaluate(params, name, 0)
        aggregate(params, name)
    report(params)


@pytest.mark.long
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_stages_run_by_hand_leave_dvcs_cache_alone(small, project, link):
    """With some values of `cache.type`, outputs are links into DVC's cache."""
    shutil.copytree(ROOT / "reports" / "reference", project / "reports" / "reference")
    shutil.copy(ROOT / "reports" / "targets.yaml", project / "reports")
    run(small)
    cache, kept = project / "cache", {}
    cache.mkdir()
    for number, file in enumerate(f for top in OUTPUTS for f in (project / top).rglob("*")):
        if file.is_file():
            cached = cache / str(number)
            file.rename(cached)
            link(cached, file)
            kept[cached] = cached.read_bytes()
    assert len(kept) > 40
    raw = small.content()
    raw["model"]["d_model"] = 32
    for name in ("bert", "gpt"):
        raw[name]["data"]["sequence_length"] = 6
    raw["vit"]["data"]["image_size"] = 12
    run(validate(raw))
    assert read_json(project / "models" / "gpt" / "seed-0" / "config.json")["length"] == 6
    assert {file: file.read_bytes() for file in kept} == kept


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(project):
    write_json({"a": 1}, project / "new" / "file.json")
    with pytest.raises(OSError), replacing(project / "new" / "file.json") as fresh:
        fresh.write_text("{")
        raise OSError(28, "No space left on device")
    assert read_json(project / "new" / "file.json") == {"a": 1}
    assert [file.name for file in (project / "new").iterdir()] == ["file.json"]


def test_no_seeds_of_another_run_are_left(small, project):
    raw = small.content()
    prepare(small, "vit")
    for seeds in ([0, 1], [1]):
        params = validate(raw | {"seeds": seeds})
        for seed in seeds:
            train(params, "vit", seed)
            evaluate(params, "vit", seed)
        aggregate(params, "vit")
    for folder in ("models", "predictions"):
        assert [path.name for path in (project / folder / "vit").glob("seed-*")] == ["seed-1"]
