"""A pipeline on a team's servers: PostgreSQL, S3 and MLflow's server as deploy/ sets it."""

import shlex
import subprocess
import time
from collections.abc import Callable

import mlflow
import pytest

from pipeline.tracking.store import EXPERIMENT
from tests import documentation, repository, team
from tests.conftest import MODELS
from tests.interruption import outputs, series

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(team.MISSING), reason=f"not installed: {', '.join(team.MISSING)}"),
    pytest.mark.filterwarnings("ignore:[\\s\\S]*type hint:UserWarning"),  # MLflow's
]
STEPS = 400
OUTAGE = 60  # seconds, after the training has noticed it
PAGE = "docs/team.md"


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """Running servers; commands of the test have the variables of a member of the team."""
    with team.running(tmp_path) as found:
        usual = repository.environment
        monkeypatch.setattr(repository, "environment", lambda: usual() | found.variables)
        mlflow.set_tracking_uri(found.address)
        yield found


def runs() -> list:
    """All runs of MLflow's server, the newest first."""
    return mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list")


def long_gpt_first(params) -> None:
    params["model_names"].sort(key=lambda name: name != "gpt")
    params["gpt"]["train"] |= {"steps": STEPS, "evaluate_every": 20, "log_every": 20}


def test_results_go_to_the_team_and_come_back(servers, tmp_path):
    """The commands of the page; a database that stops in the middle; then a colleague's clone."""
    ours = repository.make_small(tmp_path / "ours", long_gpt_first)
    for command in remote_commands(servers):
        repository.run(ours, *command)
    repository.save(ours, "The team's remote")
    with subprocess.Popen(
        ["dvc", "repro"], cwd=ours, env=repository.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as repro:  # fmt: skip
        wait(repro, lambda: (begun := runs()) and series(begun[0], "gpt/training/loss"))
        servers.database.stop()
        wait(repro, (ours / ".records" / "unreachable-store.json").exists)
        time.sleep(OUTAGE)
        servers.database.start()
        printed, _ = repro.communicate()
    assert repro.returncode == 0, printed
    assert printed.count("warning: MLflow at") == 1, printed
    (before,) = runs()
    assert 0 < len(series(before, "gpt/training/loss")) < STEPS

    printed = repository.run(ours, "python", "-m", "pipeline", "sync")
    assert printed.count("uploaded: gpt") == 2, printed  # the training, then the report
    assert "nothing to upload" in repository.run(ours, "python", "-m", "pipeline", "sync")
    assert sorted(run.data.tags["model"] for run in runs()) == sorted(MODELS)
    for name in MODELS:
        assert mlflow.pyfunc.load_model(f"models:/transformer-benchmark-{name}@best")
    assert {run.info.status for run in runs()} == {"FINISHED"}
    (run,) = (run for run in runs() if run.data.tags["model"] == "gpt")
    assert series(run, "gpt/training/loss") == list(range(1, STEPS + 1))
    assert len(series(run, "gpt.seconds")) == 1
    (output,) = run.outputs.model_outputs
    loaded = mlflow.pyfunc.load_model("models:/transformer-benchmark-gpt@best")
    assert loaded.model_id == output.model_id
    assert len(loaded.predict(["to be , or not to"])) == 1

    repository.save(ours, "The results")
    repository.run(ours, "dvc", "push")
    theirs = tmp_path / "theirs"
    repository.run(tmp_path, "git", "clone", "-q", str(ours), str(theirs))
    repository.run(theirs, "dvc", "pull")
    assert outputs(theirs) == outputs(ours)
    assert repository.stages_run(repository.run(theirs, "dvc", "repro")) == []

    repository.run(theirs, "dvc", "exp", "save", "--name", "an-idea")
    repository.run(theirs, "dvc", "exp", "push", "origin", "an-idea")
    assert "an-idea" in repository.run(ours, "dvc", "exp", "list", "--name-only")


def wait(process: subprocess.Popen, condition: Callable[[], object]) -> None:
    while not condition():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)


def remote_commands(servers: team.Team) -> list[list[str]]:
    """The commands of the page that add the remote, for these servers."""
    printed = [example.text for example in documentation.examples(PAGE)]
    found = [shlex.split(text) for text in printed if text.startswith("dvc remote")]
    places = {"s3://BUCKET/dvc": f"s3://{team.BUCKET}/dvc", "https://s3.example.org": servers.s3}
    return [[places.get(word, word) for word in command] for command in found]
