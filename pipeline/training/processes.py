"""One training on many processes: the same bits, however many there are.

A step's batch is a fixed number of micro-batches (`accumulate`), and each has its own random
streams. Their gradients are summed in one fixed tree. Each process computes the leaves of one
subtree. Then each sums one slice of the gradient over the processes, in the order of the same tree,
and all get all slices. A ring all-reduce sends as many bytes, but its order depends on the number
of processes.
"""

import hashlib
import io
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import reduce
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter
from torch.utils._pytree import tree_map_only

from pipeline.errors import UserError
from pipeline.training.tree import Leaf, require_size, tree
from transformer import Transformer

Result = TypeVar("Result")
LINE = 16  # floats of a cache line, and of the widest vectors


class Peers(Protocol):
    """The processes of a training as they know one another; see running/peers.py."""

    def name(self, rank: int) -> str:
        """'process 1 of 4 (<host>, id 123)'."""

    def exchange(self) -> AbstractContextManager[None]:
        """Of what the processes send one another."""


class Processes:
    """The processes of one training, seen from one of them; by default there is no other.

    rank: the number of this process, from 0; the first one alone writes. size: how many there are.
    together: whether all compute at the same time, each a micro-batch or a batch of an evaluation,
        because each needs what the others have of the weights; see `sharding`.
    """

    together = False

    def __init__(self, rank: int = 0, size: int = 1, peers: Peers | None = None):
        self.rank, self.size = rank, size
        self._peers = peers  # if there are others
        self._devices: dist.ProcessGroup | None = None  # sends from GPU to GPU
        self._buffers: list[Tensor] = []  # for gradients: sent, received

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, logs and tracks."""
        return self.rank == 0

    def own(self, accumulate: int) -> tuple[int, int]:
        """The first micro-batch of this process, and how many it has.

        Raises:
            UserError: `accumulate` micro-batches cannot be given to so many processes.
        """
        require_size(self.size, accumulate)
        count = accumulate // self.size
        return self.rank * count, count

    def use(self, device: torch.device) -> None:
        """Send gradients from device to device, if each process has a GPU of its own. Otherwise
        they are sent from memory.

        Raises:
            UserError: some processes have a GPU, and others train on the CPU.
        """
        index = torch.cuda.current_device() if device.type == "cuda" else None
        found = self.gathered((device.type, socket.gethostname(), index))
        if len({kind for kind, _, _ in found}) > 1:
            kinds = [f"{self.name(rank)}: {kind}" for rank, (kind, _, _) in enumerate(found)]
            raise UserError(
                f"all processes of a training need the same kind of device ({'; '.join(kinds)}): "
                "set `device` to cpu or cuda"
            )
        if self.size > 1 and device.type == "cuda" and len(set(found)) == self.size:
            self._devices = dist.new_group(backend="nccl")

    def place(self, model: Transformer, device: torch.device) -> None:
        """Move a new model to its device."""
        model.to(device)

    def parameters(self, model: Transformer) -> list[Parameter]:
        """The parameters of the model, the same ones in each step."""
        return list(model.parameters())

    def sum_micro_batches(
        self, accumulate: int, leaf: Callable[[int], Leaf], like: Sequence[Tensor]
    ) -> list[Tensor]:
        """The sum over all micro-batches, in the order of the tree; the next call overwrites it.

        leaf: the tensors of a micro-batch, of any shape, computed by one of the processes;
            overwritten.
        like: tensors of their shapes.
        """
        total = tree(*self.own(accumulate), leaf)
        if total is None:  # minus zero plus x is x, also for zeros
            total = [torch.full_like(each, -0.0) for each in like]
        if self.size == 1:
            return total
        # Not copied back, if they are on the right device.
        return [own.to(part.device) for own, part in zip(self._sums(total), total, strict=True)]

    def clip(self, parameters: Sequence[Parameter], limit: float) -> Tensor:
        """Scale the gradients so that the norm of all together is at most `limit`; returns what it
        was, a scalar."""
        return torch.nn.utils.clip_grad_norm_(parameters, limit)

    def update(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """A step of each optimizer, by the gradients, which are removed."""
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def gathered_state(self, state: Any) -> Any:
        """A state of this training as a single process would have it, for the first one; all have
        to ask for it."""
        return state

    def divided_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> Any:
        """What this process has of an optimizer's state that `gathered_state` has returned."""
        # How parameters are grouped depends on which are divided; their order does not.
        return state | {"param_groups": optimizer.state_dict()["param_groups"]}

    def undivided(self, model: Transformer, build: Callable[[], Transformer]) -> Transformer:
        """The whole model, for the first process; all have to ask for it.

        build: makes one of the same shape.
        """
        return model

    def summed(self, parts: list[Tensor]) -> list[Tensor]:
        """The sum of the `parts` of all processes, in the order of the tree; written into `parts`.

        parts: the sum over this process's leaves; of any shape.
        """
        if self.size > 1:
            torch._foreach_copy_(parts, self._sums(parts))
        return parts

    def _sums(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """As `summed`, but in memory that the next call overwrites: on the CPU, or, if each process
        has a GPU, there."""
        # Each begins on a cache line, as new tensors do: elsewhere a kernel may give other bits.
        sizes = [part.numel() + -part.numel() % LINE for part in parts]
        count = sum(sizes) + -sum(sizes) % (LINE * self.size)  # in slices of equal size
        if not self._buffers or len(self._buffers[0]) != count:
            # Kept from step to step: new memory costs as much time as sending it.
            on = "cpu" if self._devices is None else parts[0].device
            self._buffers = list(torch.zeros(2, count, device=on))
        sent, received = self._buffers
        pieces = zip(sent[: sum(sizes)].split(sizes), parts, strict=True)
        views = [piece[: part.numel()].view(part.shape) for piece, part in pieces]
        torch._foreach_copy_(views, list(parts))
        with self.exchange():
            self._sum_slices(sent, received)
        return views

    def _sum_slices(self, sent: Tensor, received: Tensor) -> None:
        """Leave the sum of the `sent` of all processes there: each process sums one slice.

        received: memory of the same size.
        """
        if self._devices is not None:
            dist.all_to_all_single(received, sent, group=self._devices)
            own = self.add(received.chunk(self.size))
            dist.all_gather_single(sent, own, group=self._devices)
            return
        # Direct messages: gloo's collectives take longer.
        slices, parts = sent.chunk(self.size), list(received.chunk(self.size))
        own = slices[self.rank]
        parts[self.rank] = own
        self._swap(slices, parts)
        own.copy_(self.add(parts))
        self._swap([own] * self.size, slices)

    def _swap(self, sent: Sequence[Tensor], received: Sequence[Tensor]) -> None:
        """Send `sent[rank]` to each other process, and put what it sends into `received[rank]`."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        works = [dist.irecv(received[rank], rank) for rank in others]
        works += [dist.isend(sent[rank], rank) for rank in others]
        for work in works:
            assert work is not None  # as for processes outside a group
            work.wait()

    def add(self, parts: Sequence[Tensor]) -> Tensor:
        """The sum of the parts of all processes, in the order of the tree; overwrites them.

        parts: of any shape, by rank.
        """
        total = tree(0, self.size, lambda rank: [parts[rank]])
        assert total is not None
        return total[0]

    def each(self, count: int, compute: Callable[[int], Result]) -> list[Result]:
        """`compute(0)` to `compute(count - 1)`, each computed by one of the processes; with several
        of them, tensors are on the CPU."""
        own = [compute(index) for index in range(self.rank, count, self.size)]
        if self.size == 1:
            return own
        every = self.gathered(tree_map_only(Tensor, Tensor.cpu, own))
        return [every[index % self.size][index // self.size] for index in range(count)]

    def total(self, count: int, compute: Callable[[int], Tensor]) -> Tensor:
        """The sum of these values, of any shape, from left to right, which `each` of the processes
        gets."""
        return reduce(torch.add, self.each(count, compute))

    def any_of(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.size == 1:
            return flag
        found = torch.tensor(int(flag))
        with self.exchange():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found)

    def gathered(self, value: Any) -> list[Any]:
        """The `value` of each process, by rank."""
        values = [value] * self.size
        if self.size > 1:
            with self.exchange():
                dist.all_gather_object(values, value)
        return values

    def shared(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """The `state` of the first process, in all processes: tensors and plain data."""
        if self.size == 1:
            return state
        content = io.BytesIO()
        if self.first:
            torch.save(state, content)
        sent = [content.getvalue()]
        with self.exchange():
            dist.broadcast_object_list(sent)
        if self.first:
            return state
        return torch.load(io.BytesIO(sent[0]), map_location="cpu", weights_only=True)

    def require_equal(self, tensors: Sequence[Tensor], step: int) -> None:
        """Check that all processes have the same tensors, of any shape, after `step`.

        Raises:
            UserError: they differ, as on processors whose results differ in the last digits.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().cpu().numpy().tobytes())
        found = self.gathered(digest.hexdigest())
        differing = [self.name(rank) for rank in range(self.size) if found[rank] != found[0]]
        if differing:
            raise UserError(
                f"after step {step} the weights of {', '.join(differing)} differ from those of "
                f"{self.name(0)}: their processors compute other last digits; train on "
                "processors of one kind"
            )

    def name(self, rank: int) -> str:
        """See `Peers.name`."""
        assert self._peers is not None
        return self._peers.name(rank)

    def exchange(self) -> AbstractContextManager[None]:
        """Of what the processes send one another; see `Peers.exchange`."""
        assert self._peers is not None
        return self._peers.exchange()


ONE = Processes()
