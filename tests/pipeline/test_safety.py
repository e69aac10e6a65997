"""Nothing is unpickled, and the UI listens on this machine alone."""

import os
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from tests.conftest import ROOT
from tests.ports import free_port


def test_nothing_is_unpickled_and_no_shell_is_started():
    """By the rules of flake8-bandit: pickle, marshal, eval, exec, unsafe YAML, shells."""
    rules = "S102,S301,S302,S307,S506,S602,S604,S605,S609,S614"
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--preview"]
    command += ["--select", rules]
    places = [str(ROOT / package) for package in ("pipeline", "transformer")]
    result = subprocess.run([*command, *places], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.long
def test_the_ui_listens_on_this_machine_alone(project):
    port = free_port()
    command = [sys.executable, "-m", "pipeline", "ui", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        family = [psutil.Process(server.pid)]
        answer = None
        end = time.monotonic() + 60
        while answer is None and time.monotonic() < end and server.poll() is None:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
            except OSError:
                time.sleep(0.2)
        assert answer is not None
        assert answer.status == 200
        answer.close()
        family += family[0].children(recursive=True)
        listening = [
            connection.laddr
            for process in family
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {address.ip for address in listening} == {"127.0.0.1"}
    finally:
        for process in (*family[0].children(recursive=True), *family[:1]):
            process.terminate()
        server.wait(20)
