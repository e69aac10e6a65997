"""Trainings that share the processors soon let each other work."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.running import repro
from pipeline.running.waiting import LOOKS, VARIABLE, variables

CORES = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (VARIABLE, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)


def test_torch_takes_the_number():
    done = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env=os.environ | variables(2, CORES) | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"{VARIABLE} = '{LOOKS}'" in done.stderr


def test_a_core_for_each_thread_or_a_users_choice_needs_nothing(monkeypatch):
    assert variables(1, CORES) == {} != variables(1, CORES + 1)
    for name, value in ((VARIABLE, "7"), ("OMP_WAIT_POLICY", "passive")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert variables(2, CORES) == {}


def test_repro_gives_it_to_trainings_at_once_alone(small, monkeypatch):
    seen = []

    def run(command, env=None, **_):
        seen.append((command[-1], (env or {}).get(VARIABLE)))
        changed = dict.fromkeys(("train@gpt-0", "train@vit-0"))
        return subprocess.CompletedProcess(command, 0, json.dumps(changed))

    monkeypatch.setattr(repro.subprocess, "run", run)
    repro.repro(small.model_copy(update={"threads": CORES}), jobs=2)
    assert {found for last, found in seen if last == "--ahead"} == {str(LOOKS)}
    assert {found for last, found in seen if last != "--ahead"} == {None}
