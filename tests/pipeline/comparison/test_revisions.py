from pathlib import Path

import pytest

from pipeline.comparison import revisions
from pipeline.errors import UserError
from tests.pipeline.comparison import handmade
from tests.repository import run, save

FILE = Path("reports/metrics.json")


def names(found):
    return [each.name for each in found]


def test_without_names_head_and_all_its_experiments_the_oldest_first(repository):
    handmade.experiment(repository, "zebra")
    handmade.experiment(repository, "ant")
    found = revisions.find(())
    # Both may have been made in the same second.
    assert names(found)[0] == "HEAD" and sorted(names(found)[1:]) == ["ant", "zebra"]
    handmade.commit(repository, {"gpt": {"loss": [1.0]}})  # which has none
    with pytest.raises(UserError, match="HEAD has no experiments"):
        revisions.find(())


def test_one_name_is_compared_with_head(repository):
    assert names(revisions.find(("workspace",))) == ["HEAD", "workspace"]
    assert names(revisions.find(("workspace", "HEAD"))) == ["workspace", "HEAD"]
    for wrong in (("HEAD",), ("HEAD", "HEAD")):
        with pytest.raises(UserError, match="nothing to compare HEAD with"):
            revisions.find(wrong)


def test_a_name_is_a_branch_a_tag_a_commit_or_an_experiment(repository):
    handmade.experiment(repository, "longer")
    head = run(repository, "git", "rev-parse", "HEAD").strip()
    run(repository, "git", "branch", "a-branch")
    run(repository, "git", "tag", "-a", "-m", "a tag", "a-tag")
    for name in ("a-branch", "a-tag", head, head[:7], "HEAD"):
        assert revisions.resolve(name).commit == head
    made = revisions.resolve("longer").commit
    assert made not in (head, None)
    assert revisions.resolve("workspace").commit is None
    for wrong in ("long", "long*", "no such", "--help", "", "HEAD:params.yaml"):
        with pytest.raises(UserError, match="is no experiment, branch, tag or commit"):
            revisions.resolve(wrong)


def test_of_experiments_with_the_same_name_that_of_head_counts(repository):
    handmade.experiment(repository, "longer")
    first = revisions.resolve("longer").commit
    handmade.commit(repository, {"gpt": {"loss": [1.0]}})
    assert revisions.resolve("longer").commit == first
    handmade.experiment(repository, "longer", {"gpt": {"loss": [2.0]}})
    of_head = revisions.resolve("longer").commit
    assert of_head != first
    handmade.commit(repository, {"gpt": {"loss": [3.0]}})
    with pytest.raises(UserError, match=f"2 experiments are called longer.*{first[:7]}"):
        revisions.resolve("longer")
    assert revisions.resolve(of_head).commit == of_head


def test_a_file_is_that_of_the_revision(repository):
    head, workspace = revisions.resolve("HEAD"), revisions.resolve("workspace")
    before = FILE.read_text()
    FILE.write_text("changed")
    assert head.read(FILE) == before
    assert workspace.read(FILE) == "changed"
    FILE.unlink()
    assert workspace.read(FILE) is None
    assert revisions.resolve("HEAD~1").read(FILE) is None


def test_a_file_is_found_in_a_project_below_the_root_of_its_repository(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "file").write_text("content")
    run(tmp_path, "git", "init", "-q")
    save(tmp_path, "A file")
    monkeypatch.chdir(tmp_path / "project")
    assert revisions.resolve("HEAD").read(Path("file")) == "content"


def test_changed_code_is_listed_by_file(repository):
    code = repository / "transformer" / "model.py"
    code.parent.mkdir()
    code.write_text("one")
    (repository / "dvc.yaml").write_text("stages: {a: b}\n")
    (repository / "README.md").write_text("text")
    save(repository, "Code")
    before, after = revisions.resolve("HEAD~1"), revisions.resolve("HEAD")
    folders = ("dvc.yaml", "transformer")
    assert revisions.changed_code(before, after, folders) == ["dvc.yaml", "transformer/model.py"]
    assert revisions.changed_code(after, after, folders) == []
    code.write_text("two")
    for pair in ((after, revisions.resolve("workspace")), (revisions.resolve("workspace"), after)):
        assert revisions.changed_code(*pair, folders) == ["transformer/model.py"]
