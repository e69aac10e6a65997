"""Where MLflow keeps the runs."""

import os
import shlex
from pathlib import Path

from filelock import FileLock

from pipeline.errors import UserError, first_line
from pipeline.paths import root
from pipeline.tracking.relocation import relocate
from pipeline.tracking.secrets import hide

EXPERIMENT = "transformer-benchmark"
# Else MLflow's pages take runs for those of an agent.
KIND = {"mlflow.experimentKind": "custom_model_development"}

# A server that is down or hangs may cost seconds, not the minutes of MLflow's defaults.
for _key, _value in {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_key, _value)
# Links to a run on a server, with the password that the server's address may hold.
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


def database() -> Path:
    """The one in the project's root; the main one for DVC's temporary copies too."""
    return (root() / "mlflow.db").absolute()


def artifacts() -> Path:
    """Where the files of the runs in that database are."""
    return (root() / "mlartifacts").absolute()


def default() -> str:
    """The address of the database in the project's root."""
    path = str(database())
    quoted = path.replace("%", "%25").replace("?", "%3F")  # which a URL would take for its own
    # Where it names no driver, MLflow makes an empty folder of a quoted path, outside of this one.
    driver = "sqlite" if quoted == path else "sqlite+pysqlite"
    return f"{driver}:///{quoted}"


def uri() -> str:
    """Where runs are kept: MLFLOW_TRACKING_URI, or the database in the project's root.

    It may hold a password: see `hide`.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or default()


def failure(error: BaseException) -> str:
    """What MLflow's failure says, in one line and without passwords."""
    said = hide(first_line(error))
    # Errors of MLflow may quote whole pages; one of ours has a command that is to be copied.
    return f"MLflow at {hide(uri())} failed: {said if isinstance(error, UserError) else said[:400]}"


def experiment_id() -> str:
    """The experiment's id; it and the database are created where they are missing.

    Raises:
        UserError: the experiment is deleted.
    """
    import mlflow
    from mlflow.entities import LifecycleStage

    # Two processes that create the same database at once break it: one at a time.
    folder = root() / ".cache"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "mlflow.lock"):
        local = uri() == default()
        if local:
            relocate(database(), EXPERIMENT, artifacts())
        mlflow.set_tracking_uri(uri())
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found and found.lifecycle_stage == LifecycleStage.DELETED:
            raise UserError(_deleted(found.experiment_id, local))
        if found:
            return found.experiment_id
        place = artifacts().as_uri() if local else None
        return client.create_experiment(EXPERIMENT, artifact_location=place, tags=KIND)


def _deleted(identifier: str, local: bool) -> str:
    """What to do about an experiment that is deleted, which MLflow keeps along with its name."""
    command = f"python -m mlflow experiments restore --experiment-id {identifier}"
    if local:
        command = f"MLFLOW_TRACKING_URI={shlex.quote(default())} {command}"
    return f"its experiment '{EXPERIMENT}' is deleted; this restores it: {command}"
