"""Records are found by the content of the output."""

import subprocess

from pipeline.running import records


def test_a_record_is_found_by_the_content_it_tells_about(project):
    output = project / "model.bin"
    output.write_bytes(b"one")
    records.write("train", "gpt", output, {"seconds": {"train": 1.5}})
    output.write_bytes(b"two")
    assert records.read("train", "gpt", output) is None
    output.write_bytes(b"one")
    record = records.read("train", "gpt", output)
    assert record["seconds"] == {"train": 1.5}
    assert record["versions"]["torch"]
    assert record["machine"]["cores"] >= 1
    assert record["this_repro"] is False  # no dvc command runs this test


def test_the_commit_is_marked_where_the_code_is_changed(project):
    assert records.git_commit() is None

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    for name in ("params.yaml", "dvc.yaml"):
        (project / name).write_text("1")
    git("add", "--all")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    assert records.git_commit() == commit
    (project / "params.yaml").write_text("2")
    assert records.git_commit() == commit
    (project / "dvc.yaml").write_text("2")
    assert records.git_commit() == f"{commit}-dirty"
