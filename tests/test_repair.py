"""Files that a killed DVC has truncated are repaired, without training again."""

import pytest
from dvc.lock import Lock
from dvc.utils.serialize import dumps_yaml, loads_yaml

from pipeline import repair
from tests import interruption, repository
from tests.interruption import STAGE
from tests.repository import stages_run

pytestmark = pytest.mark.long

REPAIR = ("python", "-m", "pipeline", "repair")
BEFORE = ("python", "-m", "pipeline", "before-dvc", "--")  # what `./run dvc` runs first


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone that has trained; only the uncommitted dvc.lock records that."""
    folder = interruption.prepare(tmp_path_factory.mktemp("clone") / "benchmark", steps=4)
    repository.run(folder, "dvc", "repro", STAGE)
    return folder


def cuts(content: bytes) -> list[int]:
    """Where to truncate: at the beginning, within a number, and so that valid YAML remains."""
    entry = content.index(b"  train@gpt-0:\n")
    output = content.index(b"    - path: models/gpt", entry)
    size = content.index(b"      size:", output)
    return [0, entry, size, size + len("      size: 1")]


def test_a_dvc_lock_that_was_cut_off_is_repaired(clone):
    file = clone / "dvc.lock"
    whole = file.read_bytes()
    assert repository.run(clone, *REPAIR) == "nothing to repair\n"
    for cut in cuts(whole):
        file.write_bytes(whole[:cut])
        repository.run(clone, *REPAIR)
        assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == [], cut
        assert file.read_bytes() == whole, cut


def test_a_dvc_lock_that_git_does_not_track_is_made_again(clone):
    """Before the first commit: everything comes from DVC's cache."""
    file = clone / "dvc.lock"
    known = file.read_bytes()
    file.unlink()
    repository.run(clone, "git", "rm", "-q", "--cached", "dvc.lock")
    try:
        assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == []
        whole = file.read_bytes()
        file.write_bytes(whole[: cuts(whole)[-1]])
        assert "dvc.lock was truncated: removed" in repository.run(clone, *REPAIR)
        assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == []
        assert file.read_bytes() == whole
    finally:
        repository.run(clone, "git", "reset", "-q", "--", "dvc.lock")
        file.write_bytes(known)


def test_a_dvc_lock_of_a_machine_with_other_bits_runs_no_stage(clone):
    """As `git restore .` brings back: the same inputs, but outputs that only others have."""
    file = clone / "dvc.lock"
    own = file.read_bytes()
    lock = loads_yaml(own.decode(), typ="safe")
    (model,) = lock["stages"][STAGE]["outs"]
    file.write_bytes(own.replace(model["md5"].encode(), b"0" * 32 + b".dir"))
    part = clone / ".dvc" / "cache" / "runs" / "00" / "00" / "part"
    part.parent.mkdir(parents=True)
    part.write_text("cmd: python -m pi")  # of a DVC that was killed while writing
    assert f"left out {STAGE}, whose outputs" in repository.run(clone, *BEFORE, "repro", STAGE)
    assert stages_run(repository.run(clone, "dvc", "repro", STAGE)) == []
    assert file.read_bytes() == own


def test_outputs_that_nobody_has_here_are_no_damage(clone):
    """They may be in a remote: without others of the same inputs, dvc.lock stays as it is."""
    file = clone / "dvc.lock"
    own = file.read_bytes()
    (model,) = loads_yaml(own.decode(), typ="safe")["stages"][STAGE]["outs"]
    other = own.replace(model["md5"].encode(), b"0" * 32 + b".dir").replace(
        b"--seed 0", b"--seed 1"
    )
    try:
        file.write_bytes(other)
        assert repository.run(clone, *REPAIR) == "nothing to repair\n"
        file.write_bytes(own.replace(model["md5"].encode(), b"0" * 32 + b".dir"))
        other = file.read_bytes()
        assert repository.run(clone, *BEFORE, "pull") == ""
        assert repository.run(clone, *BEFORE, "repro", "--pull") == ""
        assert file.read_bytes() == other
    finally:
        file.write_bytes(own)


def test_an_unresolved_merge_is_not_changed(clone):
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
def test_a_truncated_list_of_files_in_use_is_removed(clone, file):
    (clone / file).parent.mkdir(exist_ok=True)
    (clone / file).write_text('{"write": {"/x/models/gpt": {"pid": 1')
    command = ("exp", "run") if "exps" in file.parts else ("repro",)
    assert "JSON" in repository.run(clone, "dvc", *command, STAGE, code=255)
    assert repository.run(clone, *REPAIR) == f"{file} was truncated: removed; DVC makes it again\n"
    assert stages_run(repository.run(clone, "dvc", *command, STAGE)) == []


def test_nothing_is_repaired_while_another_dvc_runs(project, monkeypatch):
    """The other DVC may be writing the file."""
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0)
    repair.TEMPORARY.mkdir(parents=True)
    repair.RESULTS.write_text("sche")
    with Lock(str(repair.TEMPORARY / "lock")), pytest.raises(repair.UserError, match="in use"):
        repair.repair()
    assert repair.RESULTS.read_text() == "sche"


def test_any_truncation_is_detected_or_harmless(project):
    """If an entry lacks outputs, DVC sees a change and restores it."""
    file = {"path": "a", "hash": "md5", "md5": "0" * 32, "size": 123}
    folder = {"path": "b", "hash": "md5", "md5": "1" * 32 + ".dir", "size": 456, "nfiles": 10}
    entry = {"cmd": "make", "deps": [file], "params": {"params.yaml": {"seeds": [0]}}}
    entry["outs"] = [file, folder]
    text = dumps_yaml({"schema": "2.0", "stages": {"one": entry, "two": entry}})
    assert repair.is_complete(text.encode())
    unnoticed = [cut for cut in range(len(text)) if repair.is_complete(text[:cut].encode())]
    assert 0 < len(unnoticed) < 20
    for cut in unnoticed:
        for left in loads_yaml(text[:cut])["stages"].values():
            assert left.get("outs", []) in ([], [file], [file, folder])
