"""Compares what the processes of a training start from, before the first step.

They may run on several hosts, each with its own files.
"""

import hashlib
import json
import os
import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline import deciding
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.paths import data_dir
from pipeline.running import records
from pipeline.training.processes import Processes

Result = TypeVar("Result")


def require_agreement(processes: Processes, params: Params, name: str, seed: int) -> None:
    """Check that all processes would train the same model `name` with `seed`, on the same data.

    Raises:
        UserError: their parameters, code, data, versions of torch, or processors where these change
            results, differ; or one has no data.
    """
    if processes.size == 1:
        return
    found = processes.gathered((_place(), _inputs(params, name, seed)))
    where, first = found[0]
    for rank, (place, inputs) in enumerate(found):
        differing = [key for key in inputs if inputs[key] != first[key]]
        if differing:
            raise UserError(
                f"process {rank} ({place}) and process 0 ({where}) have different "
                f"{' and '.join(differing)}: all processes of a training need the same"
            )


def in_all(processes: Processes, call: Callable[[], Result]) -> Result:
    """The result of `call`, when it has succeeded in all processes.

    Raises:
        UserError: in all of them, that of the first one that failed.
    """
    if processes.size == 1:
        return call()
    problem = ""
    try:
        result = call()
    except UserError as error:
        problem = str(error)
    for rank, (place, reason) in enumerate(processes.gathered((_place(), problem))):
        if reason:
            raise UserError(f"process {rank} ({place}): {reason}" if rank else reason)
    return result


def _place() -> str:
    return f"{socket.gethostname()}, {os.getcwd()}"


def _inputs(params: Params, name: str, seed: int) -> dict[str, Any]:
    """What decides the weights, as checksums, under the names that a message uses."""
    decides = deciding.parameters(params, name, seed) | {"model": name}
    data = sorted(path for path in data_dir(name).rglob("*") if path.is_file())
    return {
        "parameters": hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        "code": _checksum(deciding.files(), deciding.ROOT),
        f"files in {data_dir(name)}": _checksum(data, Path()),
        "versions of torch": [version("torch"), version("torchvision")],
        "processors (with `numerics: portable`, CPUs may be of any kind)": _processor(params),
    }


def _processor(params: Params) -> list[str]:
    """What decides last digits, besides torch."""
    if params.device != "cpu" and torch.cuda.is_available():
        return [torch.cuda.get_device_name()]
    if params.numerics == "portable":
        return []
    return [records.machine()["cpu"], torch.backends.cpu.get_cpu_capability()]


def _checksum(files: list[Path], folder: Path) -> str:
    """Of the names and contents of files in `folder`."""
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()
