"""Runs the pipeline with several trainings at the same time.

DVC runs one stage after another. So the trainings run before it, side by side, each until its last
checkpoint; then `dvc repro` finds the checkpoints and only writes the outputs. Its dvc.lock is that
of a serial run, because it is one.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.running.checkpoint import KEPT
from pipeline.running.waiting import variables


def repro(params: Params, jobs: int) -> None:
    """`dvc repro`, with up to `jobs` trainings at the same time.

    Raises:
        UserError: a stage or a training failed.
    """
    # One call for each stage: DVC runs several targets in another order, also in dvc.lock.
    for name in params.model_names:
        _dvc("repro", f"prepare@{name}")
    waiting = pending(params)
    own = os.environ | variables(jobs, params.threads)
    # More checkpoints than KEPT would push out the first ones before DVC has read them.
    for start in range(0, len(waiting), KEPT):
        ahead = waiting[start : start + KEPT]
        with ThreadPoolExecutor(jobs) as pool:
            codes = dict(zip(ahead, pool.map(partial(_train, environment=own), ahead), strict=True))
        if failed := [f"{name}-{seed}" for (name, seed), code in codes.items() if code]:
            raise UserError(f"these trainings failed: {', '.join(failed)}; the others are saved")
        for name, seed in ahead:
            _dvc("repro", f"train@{name}-{seed}")
    _dvc("repro")


def pending(params: Params) -> list[tuple[str, int]]:
    """The trainings that `dvc repro` would run, as model and seed; those in DVC's cache too, whose
    outputs are not in the workspace."""
    found = subprocess.run(["dvc", "status", "--json"], capture_output=True, text=True, check=True)
    changed = json.loads(found.stdout)
    every = [(name, seed) for name in params.model_names for seed in params.seeds]
    return [(name, seed) for name, seed in every if f"train@{name}-{seed}" in changed]


def _train(training: tuple[str, int], environment: dict[str, str]) -> int:
    """The exit code of a training, without its outputs."""
    name, seed = training
    command = [sys.executable, "-m", "pipeline", "train", "--model", name, "--seed", str(seed)]
    return subprocess.run([*command, "--ahead"], env=environment).returncode


def _dvc(*arguments: str) -> None:
    if code := subprocess.run(["dvc", *arguments]).returncode:
        raise UserError(f"`dvc {' '.join(arguments)}` ended with {code}")
