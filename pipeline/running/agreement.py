"""Compares what the processes of a training or an evaluation start from, before the first step.

They may run on several hosts, each with its own files.
"""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline import deciding
from pipeline.errors import UserError
from pipeline.params import Params
from pipeline.running import records
from pipeline.training.numerics import same_everywhere
from pipeline.training.processes import Processes

Result = TypeVar("Result")
PROCESSORS = (
    "processors (with `numerics: portable`, fp32 and no `compile`, CPUs may be of any kind)"
)


def require_agreement(
    processes: Processes, params: Params, name: str, seed: int, *folders: Path
) -> None:
    """Check that all processes would compute the same for the model `name` with `seed`.

    folders: what they read besides the code: the data, a trained model.

    Raises:
        UserError: their parameters, code, files, versions of torch, or processors where these
            change results, differ.
    """
    if processes.size == 1:
        return
    found = processes.gathered((_place(), _inputs(params, name, seed, folders)))
    where, first = found[0]
    for rank, (place, inputs) in enumerate(found):
        differing = [key for key in inputs if inputs[key] != first[key]]
        if differing:
            raise UserError(
                f"process {rank} ({place}) and process 0 ({where}) have different "
                f"{' and '.join(differing)}: all processes need the same"
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


def _inputs(params: Params, name: str, seed: int, folders: Sequence[Path]) -> dict[str, Any]:
    """What decides the results, as checksums, under the names that a message uses."""
    decides = deciding.parameters(params, name, seed) | {"model": name}
    return {
        "parameters": hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        "code": _checksum(deciding.files(), deciding.ROOT),
        **{
            f"files in {folder}": _checksum(sorted(filter(Path.is_file, folder.rglob("*"))), Path())
            for folder in folders
        },
        "versions of torch": [version("torch"), version("torchvision")],
        PROCESSORS: _processor(params, name),
    }


def _processor(params: Params, name: str) -> list[str]:
    """What decides last digits, besides torch."""
    if params.device != "cpu" and torch.cuda.is_available():
        return [torch.cuda.get_device_name()]
    if same_everywhere(params.numerics, params.section(name).train):
        return []
    return [records.machine()["cpu"], torch.backends.cpu.get_cpu_capability()]


def _checksum(files: list[Path], folder: Path) -> str:
    """Of the names and contents of files in `folder`."""
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()
