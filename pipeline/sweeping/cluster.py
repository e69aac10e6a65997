"""Runs the trainings of a sweep on a cluster of Ray; experiments are put together here.

Git carries the code, as a bundle; the DVC remote carries the results; Ray says only who works. Ray
starts a training again if its process or its node has gone.
"""

import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline import yaml_file
from pipeline.errors import UserError, first_line
from pipeline.paths import root
from pipeline.running import records
from pipeline.sweeping import worker
from pipeline.sweeping.copies import Snapshot, git
from pipeline.sweeping.gathering import GatheringJob
from pipeline.sweeping.local import Local
from pipeline.sweeping.plan import Experiment, Plan, Training
from pipeline.sweeping.remote import Remote
from pipeline.sweeping.schedule import Job
from pipeline.wording import counted

try:
    import ray
except ImportError:  # without the extra `cluster`
    ray = None


class Cluster:
    """The nodes of a cluster of Ray.

    address: as of `ray.init`: 'auto' for the cluster that this machine belongs to, 'ray://...'.
    jobs: how many experiments are put together here at the same time.

    Raises:
        UserError: there is no Ray or no cluster, no DVC remote or none that answers; own data is
            not in git; or no node has room for a training of the plan.
    """

    def __init__(self, address: str, folder: Path, snapshot: Snapshot, plan: Plan, jobs: int):
        if ray is None:
            raise UserError(
                "--on needs Ray: `./run python -m pip install -r environment/cluster.lock`, here "
                "and on each node"
            )
        self._folder, self._here = folder, Local(folder, snapshot, jobs, trains=False)
        self._remote = Remote()
        if git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise UserError("a cluster needs a whole clone: git fetch --unshallow")
        _require_data(plan.waiting)
        _connect(address)
        self.slots = _slots(plan.waiting)
        ray.cloudpickle.register_pickle_by_value(worker)
        self._bundle = ray.put(bundle(snapshot))
        self._board = ray.remote(num_cpus=0, max_restarts=-1)(worker.Board).remote()
        self._repository = git("rev-list", "--max-parents=0", "HEAD").split()[-1][:12]
        self._told: dict[str, dict[str, Any]] = {}
        self._looked = 0.0

    def has_room(self, what: Training | Experiment, running: Sequence[Job]) -> bool:
        """Whether a job can be started beside the running ones."""
        if isinstance(what, Experiment):
            gathering = sum(isinstance(job, GatheringJob) for job in running)
            return gathering < self._here.slots and self._remote.answers()
        return sum(isinstance(job, RemoteJob) for job in running) < self.slots

    def start(self, what: Training | Experiment) -> Job:
        """Start a job whose requirements have ended."""
        if isinstance(what, Experiment):
            return GatheringJob(what, self._here, self._remote)
        order = worker.Order(
            self._repository,
            self._remote.config,
            yaml_file.text(what.params.content()),
            f"{what.model}-{what.seed}",
            what.recipe,
            what.experiment,
            {name: found for name, found in records.versions().items() if name != "python"},
        )
        task = ray.remote(worker.fulfil).options(
            name=what.title, num_cpus=what.params.threads, num_gpus=_gpus(what), max_retries=-1
        )
        log = self._folder / f"{what.experiment}-{what.model}-{what.seed}.log"
        return RemoteJob(what, task.remote(order, self._bundle, self._board), self, log)

    def told(self, recipe: str) -> dict[str, Any]:
        """What the node of a training has last told: where, and its progress."""
        if time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            with suppress(Exception):  # it is starting, or its node has gone
                self._told = ray.get(self._board.all.remote(), timeout=1)
        return self._told.get(recipe, {})


class RemoteJob:
    """A training on the cluster; see `schedule.Job`."""

    def __init__(self, what: Training, reference: Any, cluster: Cluster, log: Path):
        self.what, self.log, self.started = what, log, time.monotonic()
        self._reference, self._cluster = reference, cluster
        self._succeeded: bool | None = None

    @property
    def where(self) -> str:
        """The host; before it starts, 'queued'."""
        return str(self._cluster.told(self.what.recipe).get("where", "queued"))

    def succeeded(self) -> bool | None:
        """None while it runs."""
        if self._succeeded is None and ray.wait([self._reference], timeout=0)[0]:
            self._succeeded = self._collect()
        return self._succeeded

    def progress(self) -> dict[str, float]:
        """step, steps, and left: expected seconds; empty before the first logged step."""
        told = self._cluster.told(self.what.recipe)
        return told if "step" in told else {}

    def stop(self) -> None:
        """As Ctrl-C does: the training saves a checkpoint on its node."""
        ray.cancel(self._reference)

    def finish(self) -> None:
        """Nothing is left to do."""

    def _collect(self) -> bool:
        try:
            done = ray.get(self._reference)
        except Exception as error:  # of the worker, or of Ray
            self.log.write_text(f"{error}\n")
            return False
        self.log.write_text(done.log)
        if not done.succeeded:  # a record says that the remote has the results
            return False
        for name, text in done.records.items():
            file = root() / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.write_text(text)
        return True


def bundle(snapshot: Snapshot) -> bytes:
    """A bundle of git with the branches `head` and `tree`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, file = Path(temporary) / "git", Path(temporary) / "bundle"
        git("clone", "--quiet", "--shared", "--bare", str(Path.cwd()), str(folder))
        for branch, commit in (("head", snapshot.head), ("tree", snapshot.tree)):
            git("update-ref", f"refs/heads/{branch}", commit, folder=folder)
        git("bundle", "create", "--quiet", str(file), "head", "tree", folder=folder)
        return file.read_bytes()


def _require_data(trainings: list[Training]) -> None:
    """Check that the nodes get a user's own data, with git."""
    for each in trainings:
        section = each.params.section(each.model)
        given = str(getattr(section.data, section.source))
        if os.path.exists(given) and (missing := git("ls-files", "--others", "--", given)):
            first = missing.splitlines()[0]
            raise UserError(f"{first}: nodes get only data that is in git: git add --force {given}")


def _connect(address: str) -> None:
    """Join a cluster."""
    if not address:  # Ray would start a cluster of its own
        raise UserError("--on is empty: expected auto, HOST:6379 or ray://HOST:10001")
    try:
        if place := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
            # Ray would go on trying for minutes, and print that.
            socket.create_connection((place[1], int(place[2])), timeout=10).close()
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray has many
        raise UserError(f"no cluster of Ray at {address}: {first_line(error)}") from None


def _gpus(training: Training) -> int:
    device = training.params.device
    return int(device == "cuda" or (device == "auto" and "GPU" in ray.cluster_resources()))


def _slots(trainings: list[Training]) -> int:
    """How many trainings the nodes have room for.

    Raises:
        UserError: none has room for one of the trainings.
    """
    if not trainings:
        return 1
    cpus, gpus = max(each.params.threads for each in trainings), max(map(_gpus, trainings))
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = [
        min(node.get("CPU", 0) // cpus, node.get("GPU", 0) // gpus if gpus else math.inf)
        for node in nodes
    ]
    if not any(room):
        size = counted(cpus, "CPU") + (f" and {counted(gpus, 'GPU')}" if gpus else "")
        raise UserError(
            f"a training takes {size}; no node of the cluster has so many: change `threads` or "
            "`device`, or the nodes"
        )
    return int(sum(room))
