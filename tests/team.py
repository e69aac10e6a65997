"""A team's servers on this machine: PostgreSQL, S3, and MLflow with the settings of deploy/.

PostgreSQL is Debian's (`apt install postgresql`), S3 is moto's server, which keeps all in memory.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ruamel.yaml import YAML

from tests.pipeline.tracking.server import ROOT, wait_for
from tests.ports import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
PACKAGES = ("boto3", "dvc_s3", "moto", "psycopg2", "uvloop")  # of the extra `team` and its tests
MISSING = [package for package in PACKAGES if not find_spec(package)]
MISSING += [] if PROGRAMS else ["PostgreSQL (apt install postgresql)"]
BUCKET = "benchmark"
PASSWORD = "b3nchm4rk"
KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-the-team"}


class Postgres:
    """A database cluster in a folder of its own; `start` and `stop` may alternate."""

    def __init__(self) -> None:
        # PostgreSQL refuses to run as root; Debian's package brings a user for it. The folders of
        # pytest are closed to it.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        if self._user:
            shutil.chown(self.folder, self._user, self._user)
        (self.folder / "password").write_text(PASSWORD)
        self._run("initdb", "--username=mlflow", "--auth=scram-sha-256",
                  f"--pwfile={self.folder}/password", "--no-sync")  # fmt: skip
        self.start()
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=mlflow",
                  "mlflow", PGPASSWORD=PASSWORD)  # fmt: skip

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        listen = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "start", "--wait", f"--log={self.folder}/log", f"--options={listen}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server. fast: running transactions are rolled back; immediate: as in a crash."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    def remove(self) -> None:
        """Stop the server, and remove its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str, **variables: str) -> None:
        subprocess.run(
            [str(PROGRAMS[-1] / program), *arguments],
            cwd=self.folder,
            env=os.environ | {"PGDATA": f"{self.folder}/data"} | variables,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            stdout=subprocess.DEVNULL,  # the server, too, would keep a pipe open
            check=True,
        )


@dataclass(frozen=True)
class Team:
    """Running servers. variables: those with which a member of the team reaches them."""

    address: str  # of MLflow's server
    s3: str  # address
    database: Postgres

    @property
    def variables(self) -> dict[str, str]:
        return KEYS | {"MLFLOW_TRACKING_URI": self.address}


@contextmanager
def running(folder: Path, workers: int = 1) -> Iterator[Team]:
    """All of a team's servers. folder: for logs. workers: processes of MLflow's server."""
    with ExitStack() as stack:
        database = Postgres()
        stack.callback(database.remove)
        port, bucket = str(free_port()), stack.enter_context(s3("127.0.0.1", folder))
        team = Team(f"http://127.0.0.1:{port}", bucket, database)
        variables = _composed(team) | {"MLFLOW_PORT": port, "MLFLOW_WORKERS": str(workers)}
        stack.enter_context(_server(["mlflow", "server"], variables, folder / "mlflow.log"))
        wait_for(f"{team.address}/health")
        yield team


@contextmanager
def s3(host: str, folder: Path) -> Iterator[str]:
    """The address of a server like S3's, with the bucket BUCKET. folder: for its log."""
    port = str(free_port())
    address = f"http://{host}:{port}"
    with _server(["moto.server", "-H", host, "-p", port], {}, folder / "s3.log"):
        wait_for(address)
        create = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        urllib.request.urlopen(create).close()
        yield address


def _composed(team: Team) -> dict[str, str]:
    """The variables of MLflow's server in deploy/compose.yaml, filled in for this machine."""
    settings = KEYS | {
        "POSTGRES_PASSWORD": PASSWORD,
        "S3_BUCKET": BUCKET,
        "AWS_ENDPOINT_URL": team.s3,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_HOSTS": team.address.removeprefix("http://"),
    }
    file = YAML(typ="safe").load(ROOT / "deploy" / "compose.yaml")
    variables = {
        key: re.sub(r"\$\{(\w+)\}", lambda found: settings[found[1]], str(value))
        for key, value in file["services"]["mlflow"]["environment"].items()
    }
    store = "MLFLOW_BACKEND_STORE_URI"
    variables[store] = variables[store].replace("@database/", f"@127.0.0.1:{team.database.port}/")
    return variables | {"MLFLOW_HOST": "127.0.0.1"}


@contextmanager
def _server(module: list[str], variables: dict[str, str], log: Path) -> Iterator[None]:
    """A module of Python that runs until the end, with all processes that it starts."""
    with log.open("w") as file, subprocess.Popen(
        [sys.executable, "-m", *module],
        env=os.environ | variables,
        stdout=file,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
