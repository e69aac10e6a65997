"""What a kill of DVC cuts off is put right, and nothing is trained again for it."""

import pytest
from dvc.lock import Lock
from dvc.utils.serialize._yaml import dumps_yaml, loads_yaml

from pipeline import repair
from tests import interruption, repository
from tests.interruption import STAGE
from tests.test_pipeline import stages_run

REPAIR = ("python", "-m", "pipeline", "repair")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone that has trained; what it knows of that is in its dvc.lock, and not in git's."""
    folder = interruption.prepare(tmp_path_factory.mktemp("clone") / "benchmark", steps=4)
    repository.run(folder, "dvc", "repro", STAGE)
    return folder


def cuts(content: bytes) -> list[int]:
    """Where to cut: as the file is opened, within a number, and where what is left is valid."""
    entry = content.index(b"  train@gpt:\n")
    output = content.index(b"    - path: models/gpt", entry)
    size = content.index(b"      size:", output)
    return [0, entry, size, size + len("      size: 1")]


def test_a_dvc_lock_that_was_cut_off(clone):
    file = clone / "dvc.lock"
    whole = file.read_bytes()
    assert repository.run(clone, *REPAIR) == "nothing to repair\n"
    for cut in cuts(whole):
        file.write_bytes(whole[:cut])
        repository.run(clone, *REPAIR)
        assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == [], cut
        assert file.read_bytes() == whole, cut


def test_a_dvc_lock_that_git_does_not_know(clone):
    """As before its first commit: all of it comes from DVC's cache."""
    file = clone / "dvc.lock"
    known = file.read_bytes()
    file.unlink()
    repository.run(clone, "git", "rm", "-q", "--cached", "dvc.lock")
    try:
        assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == []
        whole = file.read_bytes()
        file.write_bytes(whole[:1000])
        assert "dvc.lock was truncated: removed" in repository.run(clone, *REPAIR)
        assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == []
        assert file.read_bytes() == whole
    finally:
        repository.run(clone, "git", "reset", "-q", "--", "dvc.lock")
        file.write_bytes(known)


def test_a_merge_that_is_not_resolved_is_left_to_its_owner(clone):
    file = clone / "dvc.lock"
    known = file.read_bytes()
    blob = repository.run(clone, "git", "rev-parse", "HEAD:dvc.lock").strip()
    sides = "".join(f"100644 {blob} {side}\tdvc.lock\n" for side in (1, 2, 3))
    repository.run(clone, "git", "rm", "-q", "--cached", "dvc.lock")
    repository.run(clone, "sh", "-c", f"printf '%s' '{sides}' | git update-index --index-info")
    conflict = b"<<<<<<< ours\n" + known + b"=======\n>>>>>>> theirs\n"
    file.write_bytes(conflict)
    try:
        told = repository.run(clone, *REPAIR, code=1)
        assert told.startswith("error: dvc.lock is damaged, and git cannot restore it: error: ")
        assert file.read_bytes() == conflict
    finally:
        repository.run(clone, "git", "reset", "-q", "--", "dvc.lock")
        file.write_bytes(known)


@pytest.mark.parametrize("file", repair.IN_USE, ids=str)
def test_a_note_of_who_uses_which_files_that_was_cut_off(clone, file):
    (clone / file).parent.mkdir(exist_ok=True)
    (clone / file).write_text('{"write": {"/x/models/gpt": {"pid": 1')
    command = ("exp", "run") if "exps" in file.parts else ("repro",)
    assert "JSON" in repository.run(clone, "dvc", *command, STAGE, code=255)
    assert repository.run(clone, *REPAIR) == f"{file} was truncated: removed\n"
    assert stages_run(repository.run(clone, "dvc", *command, STAGE)) == []


def test_nothing_is_touched_under_the_hands_of_another_dvc(project, monkeypatch):
    """It may be that other one which is writing the file."""
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0)
    repair.TEMPORARY.mkdir(parents=True)
    repair.RESULTS.write_text("sche")
    with Lock(str(repair.TEMPORARY / "lock")), pytest.raises(repair.UserError, match="in use"):
        repair.repair()
    assert repair.RESULTS.read_text() == "sche"


def test_wherever_it_is_cut_it_is_noticed_or_what_is_left_is_true(project):
    """An entry without some of its outputs counts as changed, and DVC itself restores it."""
    file = {"path": "a", "hash": "md5", "md5": "0" * 32, "size": 123}
    folder = {"path": "b", "hash": "md5", "md5": "1" * 32 + ".dir", "size": 456, "nfiles": 10}
    entry = {"cmd": "make", "deps": [file], "params": {"params.yaml": {"seeds": [0]}}}
    entry["outs"] = [file, folder]
    text = dumps_yaml({"schema": "2.0", "stages": {"one": entry, "two": entry}})
    assert repair._is_whole(text.encode())
    unnoticed = [cut for cut in range(len(text)) if repair._is_whole(text[:cut].encode())]
    assert 0 < len(unnoticed) < 20
    for cut in unnoticed:
        for left in loads_yaml(text[:cut])["stages"].values():
            assert left.get("outs", []) in ([], [file], [file, folder])
