"""Sweeps give the experiments that are run by hand, whatever is killed, and train nothing twice.

The tests follow each other in one clone; those of a cluster in another one.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from tests import repository, team
from tests.hosts import GATEWAY, Host, hosts
from tests.interruption import runs
from tests.ports import free_port
from tests.repository import run

pytestmark = pytest.mark.long

SWEEP = ("python", "-m", "pipeline", "sweep")
RATES = ("lr", "-S", "gpt.train.lr=0.001,0.002")
TIMES = ("dvc.lock", "reports/metrics.json", "reports/metrics.md")  # the report has times


def seconds_of_gpt(params: dict[str, Any]) -> None:
    """Trainings that last long enough to be killed."""
    params["model_names"] = ["gpt"]
    params["gpt"]["train"] |= {
        "steps": 400, "batch_size": 4, "evaluate_every": 400, "checkpoint_every": 10, "log_every": 5
    }  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A clone that has run nothing, with a DVC remote that only a cluster uses."""
    place = tmp_path_factory.mktemp("prepared")
    folder = repository.make_small(place / "benchmark", seconds_of_gpt)
    run(folder, "dvc", "remote", "add", "--default", "disk", str(place / "mount" / "remote"))
    (place / "mount").mkdir()
    repository.save(folder, "A remote")
    return folder


@pytest.fixture(scope="module")
def by_hand(prepared, tmp_path_factory) -> tuple[Path, str]:
    """A clone with one experiment of DVC, and its commit."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("hand") / "benchmark")
    run(folder, "dvc", "exp", "run", "--temp", "-n", "hand", "-S", "gpt.train.lr=0.001")
    return folder, commits(folder)["hand"]


@pytest.fixture(scope="module")
def swept(prepared, tmp_path_factory) -> tuple[Path, str]:
    """A sweep that was killed and interrupted, and then run to its end; and what it printed."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("swept") / "benchmark")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        driver = start(folder, *RATES)
        trainers = when_saved(driver, folder)
        driver.send_signal(number)
        output = driver.communicate()[0]
        if number != signal.SIGKILL:
            assert driver.returncode == 128 + number and output.endswith("interrupted\n")
        assert psutil.wait_procs(trainers, timeout=30)[1] == []
    return folder, run(folder, *SWEEP, *RATES)


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*SWEEP, *arguments], cwd=folder, env=repository.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def when_saved(driver: subprocess.Popen, *roots: Path) -> list[psutil.Process]:
    """Wait until two trainers have saved a checkpoint from now on; returns them.

    roots: the folders in which they keep checkpoints.
    """
    moment = time.time()
    places = (".checkpoints", "sweeps-*/*/.checkpoints")  # of a repository, of a node
    while True:
        assert driver.poll() is None, driver.communicate()[0]
        with suppress(FileNotFoundError):  # a training has ended meanwhile
            files = [
                f for root in roots for place in places for f in root.glob(f"{place}/*/state.pt")
            ]
            if len(saved := [file for file in files if file.stat().st_mtime > moment]) == 2:
                trainings = [file.with_name("training.json") for file in saved]
                return [psutil.Process(json.loads(each.read_text())["pid"]) for each in trainings]
        time.sleep(0.1)


def commits(folder: Path) -> dict[str, str]:
    """The commits of all experiments."""
    lines = run(folder, "git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    found = [line.split() for line in lines.splitlines()]
    return {ref.split("/")[-1]: commit for ref, commit in found if ref.count("/") == 4}


def files(folder: Path, commit: str) -> dict[str, str]:
    """The checksums of all files of a commit."""
    lines = [line.split() for line in run(folder, "git", "ls-tree", "-r", commit).splitlines()]
    return {path: checksum for _, _, checksum, path in lines}


def lock(folder: Path, commit: str) -> list[tuple[str, Any]]:
    """dvc.lock, without the report's outputs, in its order."""
    text = run(folder, "git", "show", f"{commit}:dvc.lock")
    stages = YAML(typ="safe", pure=True).load(text)["stages"]
    stages["report"].pop("outs")
    return list(stages.items())


def test_an_interrupted_sweep_continues_and_runs_nothing_twice(swept):
    folder, _ = swept
    for number in (1, 2):
        log = (folder / ".dvc" / "tmp" / "sweep" / "lr" / f"lr-{number}-gpt-0.log").read_text()
        assert "continues after step" in log
    assert set(commits(folder)) == {"lr-1", "lr-2"}
    assert [run.info.status for run in runs(folder)] == ["FINISHED", "FINISHED"]
    assert not list((folder / ".dvc" / "tmp" / "sweep" / "lr").glob("*/"))
    output = run(folder, *SWEEP, *RATES)
    assert "2 experiments, 0 to run" in output and "started" not in output


def require_same(ours: tuple[Path, str], theirs: tuple[Path, str]) -> None:
    """Check that two experiments, each with its clone, are the same byte for byte."""
    found, expected = files(*ours), files(*theirs)
    assert found.keys() == expected.keys()
    assert {path for path in expected if found[path] != expected[path]} <= {*TIMES}
    assert lock(*ours) == lock(*theirs)
    parents = [run(folder, "git", "rev-parse", f"{commit}^") for folder, commit in (ours, theirs)]
    assert parents == [run(theirs[0], "git", "rev-parse", "HEAD")] * 2


def test_its_experiments_are_those_of_dvc_byte_for_byte(swept, by_hand):
    folder, _ = swept
    require_same((folder, commits(folder)["lr-1"]), by_hand)


def test_dvc_does_with_them_what_it_does_with_others(swept):
    folder, output = swept
    shown = json.loads(run(folder, "dvc", "exp", "show", "--json"))
    rows = {row["revs"][0]["name"]: row["revs"][0]["data"] for row in shown[1]["experiments"]}
    table = {line.split()[0]: line.split()[1] for line in output.splitlines() if line[:3] == "lr-"}
    for name in ("lr-1", "lr-2"):
        loss = rows[name]["metrics"]["reports/gpt/metrics.json"]["data"]["gpt"]["loss"]
        assert f"{loss:.4f}" == table[name]
    run(folder, "dvc", "exp", "apply", "lr-2")
    assert "up to date" in run(folder, "dvc", "status")
    run(folder, "git", "stash")
    run(folder, "dvc", "exp", "branch", "lr-2", "kept")
    run(folder, "dvc", "exp", "remove", "lr-2")
    assert set(commits(folder)) == {"lr-1"}


def test_a_removed_experiment_and_a_further_one_train_only_what_is_new(swept):
    """Also with a training that fails, changes that are not committed, and an old name."""
    folder, _ = swept
    before = len(runs(folder))
    (folder / "profile" / "smoke.yaml").write_text("profile: changed\n")
    missing = "data/own/missing.txt"
    output = run(folder, *SWEEP, "lr", "-S", f"gpt.data.text=hamlet,{missing}",
                 "-S", "gpt.train.lr=0.002", "-S", "threads=1,1", code=1)  # fmt: skip
    assert "2 experiments, 2 to run" in output
    assert "1 training to run: 1 of gpt; 1 more were made before" in output
    assert "expected time: about 0:" in output
    assert output.endswith("error: 1 experiment failed: lr-3\n")
    (log,) = (folder / ".dvc" / "tmp" / "sweep" / "lr").glob("lr-3-*.log")
    assert missing in log.read_text() and str(log.relative_to(folder)) in output
    assert set(commits(folder)) == {"lr-1", "lr-2"}  # lr-1 is of the committed files
    assert "profile: changed" in run(
        folder, "git", "show", f"{commits(folder)['lr-2']}:profile/smoke.yaml"
    )
    assert len(runs(folder)) == before


def test_two_sweeps_at_once_train_what_they_share_once(swept):
    folder, _ = swept
    before = len(runs(folder))
    drivers = [start(folder, name, "-S", "gpt.train.steps=20") for name in ("one", "other")]

    for driver in drivers:
        output = driver.communicate()[0]
        assert driver.returncode == 0, output
    assert {"one-1", "other-1"} <= set(commits(folder))
    assert len(runs(folder)) == before + 1


# A cluster of nodes with one CPU each; a line on its input takes the second one away, and adds a
# third. Each keeps its files in a folder of its own.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
client_port = int(sys.argv[1])  # for those who do not belong to the cluster; 0: none
client = {"ray_client_server_port": client_port} if client_port else {}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0} | client)
add = lambda folder: cluster.add_node(num_cpus=1, env_vars={"TMPDIR": folder})
nodes = [add(folder) for folder in sys.argv[2:4]]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes[1], allow_graceful=False)
    add(sys.argv[4])
    print("replaced", flush=True)
cluster.shutdown()
"""


@contextmanager
def cluster(*folders: Path, client_port: int = 0) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a cluster, and its process."""
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    for folder in folders:
        folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(client_port), *map(str, folders)],
        env=repository.environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        address = process.stdout.readline().strip()
        assert address, "the cluster has not started"
        yield address, process
        process.stdin.close()


def test_a_cluster_gives_the_same_bytes_whatever_is_killed(prepared, by_hand, tmp_path):
    """A sweep is interrupted; a worker and the driver of another are killed; then two run at once,
    a node is lost, and the remote is away for some time."""
    folder = shutil.copytree(prepared, tmp_path / "benchmark")
    nodes = [tmp_path / name for name in ("one", "two", "three")]
    with cluster(*nodes) as (address, process):
        again = (*RATES, "--on", address)
        large = run(folder, *SWEEP, "large", "-S", "threads=2", "--on", address, code=1)
        assert "a training takes 2 CPUs; no node of the cluster has so many" in large
        driver = start(folder, "ended", "-S", "gpt.train.lr=0.003,0.004", "--on", address)
        trainers = when_saved(driver, *nodes)
        driver.send_signal(signal.SIGINT)
        assert driver.communicate()[0].endswith("interrupted\n") and driver.returncode == 130
        assert psutil.wait_procs(trainers, timeout=0)[1] == []
        # A training that has run to its end leaves no checkpoint.
        kept = [f for node in nodes for f in node.glob("sweeps-*/*/.checkpoints/*/state.pt")]
        assert len(kept) == 2

        driver = start(folder, *again)
        trainers = when_saved(driver, *nodes)
        worker = next(each for each in trainers[0].parents() if "ray::" in each.cmdline()[0])
        worker.kill()
        trainers = when_saved(driver, *nodes)
        driver.kill()
        driver.communicate()
        assert psutil.wait_procs(trainers, timeout=30)[1] == []

        driver = start(folder, *again)
        other = start(folder, "other", *RATES[1:], "--on", address)
        when_saved(driver, *nodes)
        mount = prepared.parent / "mount"
        mount.rename(away := mount.with_name("away"))
        mount.touch()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "replaced\n"
        time.sleep(60)
        mount.unlink()
        away.rename(mount)
        for each in (driver, other):
            output = each.communicate()[0]
            assert each.returncode == 0, output
        assert "2 experiments, 0 to run" in run(folder, *SWEEP, *again)
    found = commits(folder)
    assert found.keys() == {"lr-1", "lr-2", "other-1", "other-2"}
    for name in ("lr-1", "other-1"):
        require_same((folder, found[name]), by_hand)
    require_same((folder, found["lr-2"]), (folder, found["other-2"]))
    assert not list(folder.glob(".checkpoints/*/"))  # the driver trains nothing


def test_a_machine_outside_a_cluster_gets_the_same_bytes(prepared, by_hand, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "benchmark")
    port = free_port()
    with cluster(tmp_path / "one", client_port=port):
        run(folder, *SWEEP, "lr", "-S", "gpt.train.lr=0.001", "--on", f"ray://127.0.0.1:{port}")
    require_same((folder, commits(folder)["lr-1"]), by_hand)


def has_checkpoint(host: Host) -> bool:
    look = host.command("sh", "-c", "ls /tmp/sweeps-*/*/.checkpoints/*/state.pt")
    return subprocess.run(look, capture_output=True).returncode == 0


def test_a_host_that_loses_power_costs_nothing(prepared, by_hand, tmp_path, monkeypatch):
    """Two hosts that share only a network and Ray's token; the remote is on S3, the command runs on
    a third one."""
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef0123456789abcdef")
    folder = shutil.copytree(prepared, tmp_path / "benchmark")
    with hosts(tmp_path, "one", "two") as (one, two), team.s3(GATEWAY, tmp_path) as address:
        run(folder, "dvc", "remote", "add", "--local", "--default", "s3", f"s3://{team.BUCKET}/dvc")
        keys = ("access_key_id", "secret_access_key")
        known = {"endpointurl": address} | dict(zip(keys, team.KEYS.values(), strict=True))
        for key, value in known.items():
            run(folder, "dvc", "remote", "modify", "--local", "s3", key, value)
        run(folder, "dvc", "repro", "prepare@gpt")  # the hosts reach no package index
        run(folder, "dvc", "push", "--run-cache")
        head = ("--head", "--port=6379", "--ray-client-server-port=10001")
        for host, role in ((one, head), (two, ("--address=one:6379",))):
            node = ("ray", "start", f"--node-ip-address={host.address}", "--num-cpus=1", *role)
            run(tmp_path, *host.command(*node))
        driver = start(folder, *RATES, "--on", f"ray://{one.address}:10001")
        while not (has_checkpoint(one) and has_checkpoint(two)):
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.5)
        two.lose_power()
        output = driver.communicate()[0]
        assert driver.returncode == 0, output
    require_same((folder, commits(folder)["lr-1"]), by_hand)
    assert set(commits(folder)) == {"lr-1", "lr-2"}
    assert not list(folder.glob(".checkpoints/*/"))  # nothing was trained on this machine
