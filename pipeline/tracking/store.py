"""Where MLflow stores the runs: a server, or a database in the project's root."""

import importlib
import os
import re
import shlex
import shutil
import socket
import ssl
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from filelock import FileLock

from pipeline.errors import UserError, first_line
from pipeline.paths import root
from pipeline.tracking.relocation import relocate
from pipeline.tracking.secrets import USER, hide

NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
EXPERIMENT = "transformer-benchmark"
# Without this tag, MLflow's pages show the runs as those of an agent.
KIND = {"mlflow.experimentKind": "custom_model_development"}

# With MLflow's defaults, a server that is down or hangs would block a stage for minutes.
for _key, _value in {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_key, _value)
# MLflow would print links to runs with the password of the server's address.
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


def database() -> Path:
    """The file in the project's root, which DVC's temporary copies share."""
    return (root() / "mlflow.db").absolute()


def artifacts() -> Path:
    """The folder with the files of the runs in that database."""
    return (root() / "mlartifacts").absolute()


def default() -> str:
    """The address of the database in the project's root."""
    return _address(database())


def _address(file: Path) -> str:
    path = str(file)
    quoted = path.replace("%", "%25").replace("?", "%3F")  # special in a URL
    # Without a driver, MLflow would create an empty folder with the quoted path elsewhere.
    driver = "sqlite" if quoted == path else "sqlite+pysqlite"
    return f"{driver}:///{quoted}"


def uri() -> str:
    """MLFLOW_TRACKING_URI, or the address of the database in the project's root.

    It may have a password: see `hide`.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or default()


def server() -> str | None:
    """The address of the server with the runs, without a password; None if there is no server."""
    found = re.match(r"https?://.+", uri())
    return found and USER.sub("", found[0]).rstrip("/")


def failure(error: BaseException) -> str:
    """An error of MLflow as one line, without passwords."""
    where, cause = f"MLflow at {hide(uri())}", _first_cause(error)
    if isinstance(cause, NETWORK):
        return f"{where} cannot be reached: {hide(cause.strerror or first_line(cause))}"
    message = hide(first_line(error))
    # MLflow's errors may contain whole pages; ours has a command to copy.
    shown = message if isinstance(error, UserError) else message[:400]
    return f"{where} failed: {shown}"


def _first_cause(error: BaseException) -> BaseException:
    """The error at the beginning of the chain: MLflow's own has a long address and class names."""
    while earlier := error.__cause__ or error.__context__:
        error = earlier
    return error


def experiment_id() -> str:
    """The experiment's id; creates the experiment and the database if they are missing.

    Raises:
        UserError: the experiment is deleted.
    """
    import mlflow
    from mlflow.entities import LifecycleStage
    from mlflow.exceptions import MlflowException

    with _lock():
        local = uri() == default()
        if local:
            _create_database()
            relocate(database(), EXPERIMENT, artifacts())
        mlflow.set_tracking_uri(uri())
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            place = artifacts().as_uri() if local else None
            try:
                return client.create_experiment(EXPERIMENT, artifact_location=place, tags=KIND)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(EXPERIMENT)  # another host was faster
        if found.lifecycle_stage == LifecycleStage.DELETED:
            raise UserError(_deleted(found.experiment_id, local))
        return found.experiment_id


def _lock() -> AbstractContextManager[object]:
    """Held to open a database: two processes that create one at once would break it."""
    if uri().startswith("http"):
        return nullcontext()
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")  # seconds, before others wait
    folder = root() / ".cache"
    folder.mkdir(exist_ok=True)
    return FileLock(folder / "mlflow.lock")


def _create_database() -> None:
    """Create a missing database in another folder first: MLflow takes seconds, and can never again
    open one whose creation was interrupted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if database().exists():
        return
    folder = database().with_name(f"{database().name}.new")
    shutil.rmtree(folder, ignore_errors=True)  # of an interrupted creation
    folder.mkdir()
    unfinished = folder / database().name
    SqlAlchemyStore(_address(unfinished), artifacts().as_uri()).engine.dispose()
    unfinished.rename(database())
    folder.rmdir()


def _deleted(identifier: str, local: bool) -> str:
    """The message for a deleted experiment, which still occupies its name."""
    command = f"python -m mlflow experiments restore --experiment-id {identifier}"
    if local:
        command = f"MLFLOW_TRACKING_URI={shlex.quote(default())} {command}"
    return f"the MLflow experiment '{EXPERIMENT}' is deleted; restore it with `{command}`"
