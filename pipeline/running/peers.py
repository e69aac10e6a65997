"""The processes of a training as they know one another: where each runs, and which have ended.

A process that has ended closes its connections, which the others notice at once. One that is
frozen, or whose host is cut off, does not. So each process tells the others every few seconds that
it runs.
"""

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import psutil
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store

from pipeline.errors import print_error

BEAT = 5.0  # seconds between two signs of life
MISSED = 12  # signs of life after which a process counts as lost
ANSWER = 5.0  # seconds in which those that still run say so, after an exchange has failed
REPORTED = "reported"  # key of the store: somebody has reported why the training ends
LEFT = b"left"  # the last sign of a process that has done its part


class PeerLost(Exception):
    """Another process of the training has ended, which has been reported."""


class Peers:
    """All processes of a training, seen from one of them.

    rank: the number of this process, from 0. size: how many there are. store: which all of them
    reach. patience: for all to come.

    Raises:
        RuntimeError: not all have come.
    """

    def __init__(self, rank: int, size: int, store: Store, patience: timedelta):
        self._rank, self._store = rank, PrefixStore("peers", store)
        self._store.set(f"life/{rank}", "")
        self._store.set(f"place/{rank}", f"{socket.gethostname()} {os.getpid()}")
        keys = [f"place/{each}" for each in range(size)]
        # torchrun's store has been there before them, and gloo would wait half an hour.
        self._store.wait(keys, patience)
        places = [place.decode().split() for place in self._store.multi_get(keys)]
        self._places = [(host, int(pid)) for host, pid in places]
        # The first process watches all others, which watch it.
        self._watched = list(range(1, size)) if rank == 0 else [0]
        self._heard = [b""] * len(self._watched)
        self._reported = self._done = False
        self._leaving = threading.Event()

    def name(self, rank: int) -> str:
        """'process 1 of 4 (<host>, id 123)', counted from 0, as torchrun does."""
        host, pid = self._places[rank]
        return f"process {rank} of {len(self._places)} ({host}, id {pid})"

    def report(self) -> None:
        """Tell the others that this process reports why it ends."""
        self._store.set(REPORTED, "")

    def reported(self) -> bool:
        """Whether another process reports why they end, which it does in ANSWER seconds at most."""
        try:
            self._store.wait([REPORTED], timedelta(seconds=ANSWER))
        except dist.DistStoreError:  # nobody has
            return False
        except RuntimeError:  # the store has gone, with process 0
            return True
        return True

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Show the others that this process runs, and end it if they do not: it cannot be
        interrupted while it waits for their messages."""
        showing = threading.Thread(target=self._show, daemon=True)
        showing.start()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
            self._done = True
        finally:
            self._leaving.set()
            showing.join(ANSWER)

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Of what the processes send one another: if it fails, report the process that has ended.

        Raises:
            PeerLost: one has ended.
        """
        try:
            yield
        except torch.OutOfMemoryError:  # of this process
            raise
        except RuntimeError:
            try:
                lost, reported = self._ended(), self._store.check([REPORTED])
            except RuntimeError:  # the store is lost, with the host of process 0
                lost, reported = [0] if self._rank else [], False
            if not lost:
                raise
            if not reported:
                self._report_lost(lost, "ended")
            raise PeerLost from None

    def _report_lost(self, lost: list[int], event: str) -> None:
        """Of those that still run, the first one on each host reports it. At once: the launcher
        soon stops them."""
        hosts = [host for host, _ in self._places]
        here = {rank for rank, host in enumerate(hosts) if host == hosts[self._rank]}
        if self._rank == min(here - set(lost), default=None):
            print_error(
                f"{' and '.join(map(self.name, lost))} {event}, so the others stop; the same "
                "command continues from the last checkpoint"
            )

    def _ended(self) -> list[int]:
        """The processes that no longer run. All that run notice the failure, and say so, unless it
        is one of this process alone."""
        self._store.set(f"runs/{self._rank}", "")
        silent, until = list(range(len(self._places))), time.monotonic() + ANSWER
        while silent:
            silent = [rank for rank in silent if not self._store.check([f"runs/{rank}"])]
            here = [rank for rank in silent if self._places[rank][0] == socket.gethostname()]
            ended = [rank for rank in here if not _runs(self._places[rank][1])]
            if ended and len(here) == len(silent):
                return ended
            if time.monotonic() > until:
                return [rank for rank in silent if rank in ended or rank not in here]
            time.sleep(0.05)
        return []

    def _show(self) -> None:
        """Show that this process runs, and see what others show, as long as the store answers."""
        # In the other one, a call of the main thread may wait. Its types do not show this method.
        store = self._store.clone()  # type: ignore[attr-defined]
        sign, keys = f"life/{self._rank}", [f"life/{rank}" for rank in self._watched]
        with suppress(RuntimeError):  # the store has gone
            for beat in itertools.count(1):
                store.set(sign, str(beat))
                self._heard = store.multi_get(keys)
                self._reported = store.check([REPORTED])
                if self._leaving.wait(BEAT):
                    break
            if self._done:
                store.set(sign, LEFT)

    def _watch(self) -> None:
        """End this process if another one shows nothing new MISSED times, or has reported why the
        training ends. The times are counted, because all of them may be stopped for a while."""
        missed, before = [0] * len(self._watched), self._heard
        while not self._leaving.wait(BEAT):
            if self._reported:
                os._exit(1)
            heard = self._heard
            for index, (old, new) in enumerate(zip(before, heard, strict=True)):
                missed[index] = missed[index] + 1 if old == new != LEFT else 0
            before = heard
            if MISSED in missed:
                lost = [self._watched[i] for i, count in enumerate(missed) if count == MISSED]
                seconds = round(MISSED * BEAT)
                self._report_lost(lost, f"gave no sign of life for {seconds} seconds")
                with suppress(RuntimeError):  # the store has gone
                    self.report()
                time.sleep(2 * BEAT)  # until the others have seen it: the store may end with this
                os._exit(1)


def _runs(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
