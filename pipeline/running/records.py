"""Records of runs: times, machine, commit, run ids, which differ between equal runs.

DVC hashes the outputs of a stage, and equal runs must have equal hashes. Therefore this goes to a
separate file, ignored by git and DVC, and named by the hash of the output: a stage restored from
DVC's cache finds the record of the run that made it.
"""

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pipeline.paths import read_json, root, sha256, write_json

CODE = ("dvc.yaml", "pipeline", "transformer")
PACKAGES = ("torch", "torchvision", "dvc", "mlflow", "numpy", "tokenizers", "safetensors")


def write(stage: str, model: str, output: Path, content: dict[str, Any]) -> None:
    """Record how `stage` made `output`, with time, machine, versions and commit.

    content: "seconds" by activity, "throughput" and "unit", "device", "mlflow_run_id", ...
    """
    record = {
        "stage": stage,
        "model": model,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "git_commit": git_commit(),
        "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
        "dvc_process": dvc_name(),
        **content,
    }
    write_json(record, _file(stage, model, output))


def link(training_id: str, run_id: str) -> None:
    """Add the id of its MLflow run to the records of a training."""
    for file in _folder().glob("train-*.json"):
        record = read_json(file)
        if record.get("training_id") == training_id:
            write_json(record | {"mlflow_run_id": run_id}, file)


def read(stage: str, model: str, output: Path) -> dict[str, Any] | None:
    """The record of the run that made `output`; None if another machine made it.

    "this_repro" is true if the `dvc` command that is running now made it.
    """
    file = _file(stage, model, output)
    if not file.exists():
        return None
    record = read_json(file)
    ours = dvc_name()
    return record | {"this_repro": ours is not None and record["dvc_process"] == ours}


def made(stage: str, model: str, identity: str) -> bool:
    """Whether a run on this machine made the output with this identity."""
    files = _folder().glob(f"{stage}-{model}-*.json")
    return any(read_json(file).get("identity") == identity for file in files)


def _file(stage: str, model: str, output: Path) -> Path:
    return _folder() / f"{stage}-{model}-{sha256(output)[:16]}.json"


def _folder() -> Path:
    return root() / ".records"


def machine() -> dict[str, Any]:
    """CPU, cores, memory, operating system."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*: (.+)", text, re.MULTILINE)
    return {
        "cpu": name[1].strip() if name else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect results."""
    installed = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | installed


def git_commit() -> str | None:
    """The current commit, with '-dirty' if the code differs from it; None outside git.

    Only code counts: parameters are recorded separately, and outputs change with every run.
    """
    head = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(head, capture_output=True, text=True, check=True)
        differs = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *CODE]).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() + ("-dirty" if differs else "")


def dvc_process() -> psutil.Process | None:
    """The `dvc` command that runs this stage; None without `dvc`."""
    for parent in psutil.Process().parents():
        try:
            # `dvc repro`, or `python -m dvc exp ...` for a queued experiment.
            if any(Path(word).name == "dvc" for word in parent.cmdline()[:3]):
                return parent
        except psutil.Error:
            continue
    return None


def dvc_name() -> str | None:
    """The running `dvc` command as 'pid@start', a unique name."""
    process = dvc_process()
    return process and f"{process.pid}@{process.create_time()}"
