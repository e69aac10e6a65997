"""Joins the processes that a launcher has started, on one host or several."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from pipeline.errors import UserError, print_error
from pipeline.running.peers import PeerLost, Peers
from pipeline.training.processes import ONE, Processes

PATIENCE = timedelta(seconds=60)  # until all processes have met


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun has started, as soon as all have met; otherwise this one alone.

    An error of the user is mostly the same in all processes: the first one reports it, and the
    others exit with its code. One that only another process has, that one reports. All exit if one
    of them has ended.

    Raises:
        UserError: the launcher has not said where the processes meet, or they do not meet there.
    """
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        yield ONE
        return
    rank, size, where = _launcher()
    try:
        store, _, _ = next(rendezvous("env://", rank, size, timeout=PATIENCE))
        peers = Peers(rank, size, store, PATIENCE)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    except RuntimeError as error:  # torch has several kinds
        raise UserError(
            f"process {rank} of {size} has not met the others at {where} within "
            f"{PATIENCE.seconds} seconds: {str(error).splitlines()[0]}"
        ) from None
    try:
        with peers.watched():
            yield Processes(rank, size, peers)
    except UserError as error:
        if rank == 0:
            peers.report()
            raise
        if not peers.reported():
            peers.report()
            print_error(f"{peers.name(rank)}: {error}")
        sys.exit(error.exit_code)
    except PeerLost:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher's: this process ends already
        sys.exit(1)
    finally:
        dist.destroy_process_group()


def _launcher() -> tuple[int, int, str]:
    """Rank, number of processes and meeting point that the launcher has set."""
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"the launcher has set no {', '.join(missing)}, so the processes cannot meet: start "
            "them with PROCESSES or torchrun (see docs/processes.md)"
        )
    rank, size, address, port = (os.environ[name] for name in names)
    numbers = rank.isdecimal() and size.isdecimal() and port.isdecimal()
    if not (numbers and int(rank) < int(size) and int(port) < 2**16):
        raise UserError(
            f"the launcher has set RANK={rank}, WORLD_SIZE={size}, MASTER_PORT={port}: expected "
            f"numbers, with RANK below WORLD_SIZE and MASTER_PORT below {2**16:,}"
        )
    return int(rank), int(size), f"{address}:{port}"
