"""Kills a training many times, at random moments and in different ways.

    ./run python -m tests.interruption --kills 50

runs that many kills, compares with an uninterrupted training and prints the result.
"""

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import psutil
from ruamel.yaml import YAML

from tests import repository

STAGE = "train@gpt-0"
STEPS = 400
WAYS = (
    "the trainer, -9",
    "dvc, -9",
    "everything, -9",
    "everything, -9, in a save",
    "the trainer, TERM",
    "dvc, TERM",
    "everything, INT",
)


@dataclass
class Tally:
    """Results: kills by method, how many hit a running training, and errors."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    early: int = 0
    resumed: int = 0


def prepare(folder: Path, steps: int = STEPS, checkpoint_every: int = 1) -> Path:
    """A repository whose GPT trains for some seconds and saves a checkpoint every few steps."""
    train = {"steps": steps, "batch_size": 4, "evaluate_every": 100, "log_every": 50}
    train["checkpoint_every"] = checkpoint_every
    repository.make_small(folder, lambda params: params["gpt"]["train"].update(train))
    repository.run(folder, "dvc", "repro", "prepare@gpt")
    repository.save(folder, "The data")  # in dvc.lock
    return folder


def outputs(folder: Path) -> dict[str, str]:
    """Checksums of all outputs of the training, and of its entry in dvc.lock."""
    files = [*(folder / "models" / "gpt").rglob("*"), *(folder / "reports" / "gpt").glob("*.csv")]
    found = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }
    lock = YAML(typ="safe", pure=True).load((folder / "dvc.lock").read_text())
    return found | {"dvc.lock": json.dumps(lock["stages"][STAGE], sort_keys=True)}


def interrupt(
    folder: Path, command: list[str], kills: int, seed: int, early: float = 0.2
) -> tuple[Tally, str]:
    """Run `command`, kill it `kills` times, then let it finish; also returns the last output.

    early: the share of kills that need not wait for a checkpoint.
    """
    rng, tally = random.Random(seed), Tally()
    for number in range(kills):
        way = WAYS[number % len(WAYS)]
        output = _start_and_kill(folder, command, way, rng, tally, early)
        tally.resumed += "continues after step" in output
    last = repository.run(folder, *command)
    return tally, last


def _start_and_kill(
    folder: Path, command: list[str], way: str, rng: random.Random, tally: Tally, early: float
) -> str:
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=repository.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Background jobs of a shell ignore Ctrl-C, and their children, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        trainer = _trainer(process)
        # Mostly while it trains; sometimes before that, or while the outputs are written.
        if rng.random() >= early:
            _wait(process, lambda: _saved_since(folder, trainer))
        if "in a save" in way:
            _wait(process, lambda: any((folder / ".checkpoints").glob("*/state.pt.tmp")))
        else:
            time.sleep(rng.uniform(0, 2))
        target = {"the trainer": trainer and trainer.pid, "dvc": process.pid}.get(way.split(",")[0])
        number = getattr(signal, f"SIG{'KILL' if '-9' in way else way.split(', ')[1]}")
        try:
            os.kill(target, number) if target else os.killpg(process.pid, number)
            tally.kills[way] += 1
        except ProcessLookupError:
            tally.early += 1
        process.wait()
        if trainer:
            _end(trainer)
        log.seek(0)
        return log.read()


def _trainer(process: subprocess.Popen) -> psutil.Process | None:
    """The process of the stage, as soon as it exists; None if the command ends before."""
    while process.poll() is None:
        try:
            for child in psutil.Process(process.pid).children(recursive=True):
                if child.cmdline()[1:4] == ["-m", "pipeline", "train"]:
                    return child
        except (psutil.Error, IndexError):
            pass
        time.sleep(0.02)
    return None


def _saved_since(folder: Path, trainer: psutil.Process | None) -> bool:
    files = (folder / ".checkpoints").glob("*/state.pt")
    return trainer is None or any(f.stat().st_mtime > trainer.create_time() for f in files)


def _wait(process: subprocess.Popen, condition) -> None:
    while process.poll() is None:
        try:
            if condition():
                return
        except OSError:
            pass  # a file was renamed in the meantime
        time.sleep(0.001)


def _end(trainer: psutil.Process) -> None:
    """Wait until the orphaned process has ended, which takes seconds."""
    try:
        trainer.wait(timeout=30)
    except psutil.TimeoutExpired:
        raise AssertionError("the trainer continues without its dvc") from None


def runs(folder: Path) -> list:
    """All MLflow runs of trainings."""
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    names = ["transformer-benchmark"]
    found = mlflow.search_runs(experiment_names=names, output_format="list")
    return [run for run in found if run.data.tags["stage"] == "train"]


def series(run, key: str) -> list[int]:
    """The steps of a series, in the logged order."""
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, key)
    return [metric.step for metric in history]


def steps_resumed(output: str) -> list[int]:
    """The steps after which training continued."""
    return [int(step) for step in re.findall(r"continues after step (\d+)", output)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        # Long enough for each kill to hit it.
        steps = 100 * arguments.kills
        whole = prepare(Path(temporary) / "whole", steps)
        repository.run(whole, "dvc", "repro", STAGE)
        killed = prepare(Path(temporary) / "killed", steps)
        command = ["dvc", "repro", STAGE]
        tally, _ = interrupt(killed, command, arguments.kills, arguments.seed)
        differing = [
            name for name, value in outputs(whole).items() if outputs(killed).get(name) != value
        ]
        (run,) = runs(killed)
        in_order = series(run, "gpt/training/loss") == list(range(1, steps + 1))
    for way, count in tally.kills.items():
        print(f"{way:<28}{count:>4}")
    print(f"over before it was killed   {tally.early:>4}")
    print(f"resumed from a checkpoint  {tally.resumed:>4}")
    print(f"outputs that differ from an uninterrupted training: {differing or 'none'}")
    print(f"MLflow: one run, {run.info.status}, each step once and in order: {in_order}")
    if differing or not in_order:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
