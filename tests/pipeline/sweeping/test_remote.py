"""The DVC remote of a cluster."""

import os
import subprocess
import sys
from contextlib import nullcontext

import pytest
from dvc.config import Config
from dvc.repo import Repo

from pipeline.errors import UserError
from pipeline.sweeping import remote
from pipeline.sweeping.remote import Remote, node_config
from tests.repository import ROOT


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """The folder of a remote, with something in it; the repository is the current folder."""
    folder = tmp_path / "mount" / "remote"
    (folder / "files").mkdir(parents=True)
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    with Repo.init(no_scm=True) as repo, repo.config.edit() as config:
        config["core"]["remote"] = "disk"
        config["remote"]["disk"] = {"url": str(folder)}
    return folder


def test_a_node_gets_the_settings_of_the_remote(storage, tmp_path):
    (tmp_path / "config").write_text(Remote().config)
    ours, theirs = Config(".dvc"), Config(str(tmp_path))
    assert theirs["core"]["remote"] == "disk"
    assert theirs["remote"]["disk"] == ours["remote"]["disk"] and str(storage) in str(theirs)


@pytest.mark.parametrize("secret", ["a#b", "#ab", ' a"b', "a,b", "'a'"])
def test_a_secret_arrives_as_it_is(storage, tmp_path, secret):
    with Repo() as repo, repo.config.edit("local") as config:
        config["remote"]["disk"] = {"url": "s3://bucket/dvc", "secret_access_key": secret}
    (tmp_path / "config").write_text(node_config())
    assert Config(str(tmp_path))["remote"]["disk"]["secret_access_key"] == secret


def test_a_remote_inside_another_brings_it(storage, tmp_path):
    with Repo() as repo, repo.config.edit() as config:
        config["core"]["remote"] = "inner"
        config["remote"]["inner"] = {"url": "remote://disk/inner"}
        config["remote"]["other"] = {"url": "/elsewhere"}
    (tmp_path / "config").write_text(Remote().config)
    found = Config(str(tmp_path))
    assert found["core"]["remote"] == "inner" and found["remote"].keys() == {"inner", "disk"}


@pytest.mark.parametrize("url", ["https://example.org/dvc", "http://localhost:1/dvc"])
def test_a_remote_without_a_run_cache_is_refused(storage, url):
    with Repo() as repo, repo.config.edit() as config:
        config["remote"]["base"] = {"url": url}
        config["remote"]["disk"] = {"url": "remote://base/inner"}
    with pytest.raises(UserError, match=r"^the DVC remote base is on HTTP, where DVC keeps no run"):
        Remote()


def test_an_empty_bucket_answers_and_a_missing_one_does_not(storage, monkeypatch):
    server = pytest.importorskip("moto.server", reason="the extra `team` is not installed")
    boto3 = pytest.importorskip("boto3")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    s3 = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    s3.start()
    address = "http://{}:{}".format(*s3.get_host_and_port())
    boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket="ours")
    for url, answers in (("s3://ours/team/dvc", True), ("s3://theirs/team/dvc", False)):
        with Repo() as repo, repo.config.edit() as config:
            config["remote"]["disk"] = {"url": url, "endpointurl": address}
        with nullcontext() if answers else pytest.raises(UserError, match="does not answer"):
            Remote()
    s3.stop()


def test_a_drive_that_is_not_mounted_any_more_does_not_answer(storage):
    disk = Remote()
    storage.joinpath("files").rmdir()
    assert not disk.answers()


def test_a_repository_without_a_remote_is_told_how_to_add_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    with pytest.raises(UserError, match="`dvc remote add --default NAME URL`"):
        Remote()


def test_a_missing_remote_is_refused_at_the_start(storage):
    storage.parent.rename(storage.parent.with_name("away"))
    with pytest.raises(UserError, match=r"the DVC remote does not answer: .*remote is missing"):
        Remote()


def test_a_remote_that_goes_away_is_waited_for_with_one_warning(storage, monkeypatch, capsys):
    monkeypatch.setattr(remote, "WAIT", 0)
    disk = Remote()
    away = storage.parent.rename(storage.parent.with_name("away"))
    assert [disk.answers() for _ in range(3)] == [False] * 3
    away.rename(storage.parent)
    assert disk.answers()
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and f"{storage} is missing" in said


def test_a_remote_that_does_not_answer_is_not_asked_again_at_once(storage):
    disk = Remote()
    away = storage.parent.rename(storage.parent.with_name("away"))
    assert not disk.answers()
    away.rename(storage.parent)
    assert not disk.answers()  # a look at one that hangs takes minutes


def test_a_node_asks_by_a_command_whether_it_answers(storage):
    def ask():
        command = [sys.executable, "-m", "pipeline.sweeping.remote"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stderr.strip()

    assert ask() == (0, "")
    away = storage.parent.rename(storage.parent.with_name("away"))
    assert ask() == (1, f"the DVC remote does not answer: {storage} is missing")
    away.rename(storage.parent)
    assert ask() == (0, "")
