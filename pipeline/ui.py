"""The MLflow UI, on this machine alone."""

import os
import socket
import subprocess
import sys

from pipeline.errors import UserError
from pipeline.tracking import store


def serve(port: int) -> None:
    """Serve the UI on 127.0.0.1 until interrupted.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} is not free ({error.strerror}); try --port") from None
    try:
        experiment = store.experiment_id()
    except Exception as error:
        raise UserError(store.failure(error)) from None
    address = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs"
    print(f"MLflow: {address}\nCtrl-C ends it", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    environment = os.environ | {
        # Not as an argument, which every user of the machine may read: it may hold a password.
        "MLFLOW_BACKEND_STORE_URI": store.uri(),
        # The job runner would start a dozen processes that this UI does not need.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    try:
        subprocess.run(command, env=environment, check=True)
    except KeyboardInterrupt:
        pass
    except subprocess.CalledProcessError as error:
        raise UserError(f"the MLflow server ended with exit code {error.returncode}") from None
