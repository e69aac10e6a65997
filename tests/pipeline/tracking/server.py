"""Servers for tests: MLflow's, and the project's `ui`."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).parents[3]  # not from conftest.py, which benchmarks do not load


class Server:
    """An MLflow server on this machine that can be stopped, killed and started again."""

    def __init__(self, folder):
        self.port = free_port()
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self):
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        process = subprocess.Popen(
            command,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.group = os.getpgid(process.pid)
        try:
            wait_for(f"{self.address}/health")
            yield
        finally:
            os.killpg(self.group, signal.SIGKILL)
            process.wait()


@contextmanager
def running_ui(variables):
    """The `ui` of the project in the working directory: its process, and its address."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-m", "pipeline", "ui", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/start")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)  # Ctrl-C


def wait_for(address):
    """Wait until a server answers; on a busy machine it takes a minute."""
    for _ in range(1200):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server does not start")
