"""Starts the processes of a training on this machine, by torch's launcher, which is torchrun's."""

import logging
import os
import sys
import uuid

from pipeline.errors import UserError, print_error
from pipeline.params import Params

VARIABLE = "PROCESSES"


def wanted() -> int:
    """How many processes to start: the value of PROCESSES, 1 by default; 1 in a process that a
    launcher has started.

    Raises:
        UserError: it is not a number above 0.
    """
    if "RANK" in os.environ:
        return 1
    value = os.environ.get(VARIABLE) or "1"
    if not value.isdecimal() or int(value) == 0:
        raise UserError(f"{VARIABLE}={value}: expected a number of processes, 1 or more")
    return int(value)


def require_some_model(params: Params) -> None:
    """Require that PROCESSES suits a model; the others may be in DVC's cache.

    Raises:
        UserError: it suits none.
    """
    count = wanted()
    if count == 1:
        return
    from pipeline.training.tree import require_size, sizes  # which imports torch

    found = [params.section(name).train.accumulate for name in params.model_names]
    if not any(count in sizes(accumulate) for accumulate in found):
        require_size(count, found[0])


def launch(count: int, threads: int) -> None:
    """Run this command in `count` processes; returns when all have ended without an error.

    If one ends with an error, the others are stopped. This process then exits with 1; it exits as
    after a signal if it gets one, which it sends to the processes.

    threads: of each process.
    """
    # Imported here, because it takes seconds.
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.ERROR)  # the processes report errors themselves
    os.environ["OMP_NUM_THREADS"] = str(threads)  # else the launcher sets 1, with a warning
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",  # a free port
        local_addr="127.0.0.1",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "pipeline", *sys.argv[1:])
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if all(code < 0 for code in codes.values()):  # otherwise one has reported the error
            print_error(f"processes {', '.join(map(str, sorted(codes)))} of {count} were killed")
        sys.exit(1)
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
