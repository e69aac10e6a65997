import pytest

from pipeline.tracking import links, store


def test_a_run_of_the_projects_database_is_opened_by_its_ui(project):
    found = links.runs(["a", "b", "a"])
    experiment = store.experiment_id()
    place = f"http://127.0.0.1:5000/#/experiments/{experiment}/runs"
    assert found == {"a": f"{place}/a", "b": f"{place}/b"}


def test_without_a_database_there_are_no_links_and_none_is_made(project):
    store.database().unlink()
    assert links.runs(["a"]) == {}
    assert not store.database().exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://user:secret@127.0.0.1:9"])
def test_a_server_that_cannot_be_reached_gives_none(project, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert links.runs(["a"]) == {}
    assert store.server() == "http://127.0.0.1:9"  # without a password
