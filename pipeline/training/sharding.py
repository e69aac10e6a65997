"""Models larger than a device: the processes of a training divide the model among them.

Each process keeps a slice of each matrix, of its gradient and of the optimizer's state
(Rajbhandari et al. 2020, "ZeRO", stage 3), by torch's `fully_shard` (Zhao et al. 2023, "PyTorch
FSDP"). The weights of a block are put together while it computes. Gradients are summed in the same
tree as without sharding. What would show another order of sums, the norm of the gradients and
Muon's iteration, gets whole tensors.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.fsdp._fully_shard._fsdp_api import AllGather, ReduceScatter
from torch.distributed.tensor import DTensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_
from torch.utils._pytree import tree_map_only

from pipeline.errors import UserError
from pipeline.training.processes import LINE, Processes, Result
from pipeline.training.slices import is_slice, sliced, whole
from pipeline.training.tree import Leaf, tree
from transformer import Transformer


class Sharded(Processes):
    """Processes that divide the model among them.

    At any time, all compute the leaves of one subtree: the first process micro-batches 0, `size`,
    2 `size` and so on.
    """

    together = True

    def __init__(self, processes: Processes):
        vars(self).update(vars(processes))

    def use(self, device: torch.device) -> None:
        """As for all `Processes`; on GPUs, each needs one of its own.

        Raises:
            UserError: some processes share a GPU.
        """
        super().use(device)
        if device.type == "cuda" and self._devices is None:
            raise UserError("train.fully_shard needs a GPU for each process; some share one here")

    def place(self, model: Transformer, device: torch.device) -> None:
        group = self._devices or dist.group.WORLD
        assert group is not None
        mesh = DeviceMesh.from_group(group, device.type)
        kept = {each for each in model.parameters() if not _divisible(each, self.size)}
        for parameter in kept:
            parameter.data = parameter.data.to(device)
        encoded = model.encoder.blocks if model.encoder else []
        for part in (*encoded, *model.blocks, model):  # a device never has the whole
            fully_shard(part, mesh=mesh, ignored_params=kept)
            part.set_custom_all_gather(_AllGather(self))
            part.set_custom_reduce_scatter(_TreeReduceScatter(self))
            part.set_force_sum_reduction_for_comms(True)  # the losses have their shares already
            part.set_gradient_divide_factor(1.0)
        # Tasks call this and the head's loss, before which torch keeps the head's weights whole.
        register_fsdp_forward_method(model, "encode")

    def parameters(self, model: Any) -> list[Parameter]:
        model.reshard()  # after an evaluation, torch has kept the weights outside the blocks whole
        return super().parameters(model)

    def sum_micro_batches(
        self, accumulate: int, leaf: Callable[[int], Leaf], like: Sequence[Tensor]
    ) -> list[Tensor]:
        def of_all(turn: int) -> Leaf:
            found = leaf(turn * self.size + self.rank)
            if found is None:
                return None
            # The backward pass has summed the gradients.
            self.summed([each for each in found if not is_slice(each)])
            return [_own(each) for each in found]

        total = tree(0, accumulate // self.size, of_all)
        if total is None:
            return [torch.full_like(each, -0.0) for each in like]
        return [_as(tensor, part) for tensor, part in zip(like, total, strict=True)]

    def clip(self, parameters: Sequence[Parameter], limit: float) -> Tensor:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        with self.exchange():
            norms = [torch._foreach_norm([whole(each)])[0] for each in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        for divided in (True, False):
            part = [parameter for parameter in parameters if is_slice(parameter) == divided]
            clip_grads_with_norm_(part, limit, norm)
        return norm

    def update(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        with self.exchange():
            super().update(optimizers)

    def each(self, count: int, compute: Callable[[int], Result]) -> list[Result]:
        full = count + -count % self.size  # who has nothing to compute repeats the last one
        return super().each(full, lambda index: compute(min(index, count - 1)))[:count]

    def require_equal(self, tensors: Sequence[Tensor], step: int) -> None:
        """Check those, of any shape, that are not divided: each process has other slices of the
        others."""
        super().require_equal([each for each in tensors if not is_slice(each)], step)

    def gathered_state(self, state: Any) -> Any:
        def gathered(part: Tensor) -> Tensor:
            found = whole(part)
            return found.cpu() if self.first else found.new_empty(0)

        with self.exchange():
            return tree_map_only(DTensor, gathered, state)

    def divided_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> Any:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        own = {
            index: {
                key: sliced(value, parameter) if value.shape == parameter.shape else value
                for key, value in state["state"][index].items()
            }
            for index, parameter in enumerate(parameters)
        }
        return super().divided_state(state | {"state": own}, optimizer)

    def undivided(self, model: Transformer, build: Callable[[], Transformer]) -> Transformer:
        state = self.gathered_state(model.state_dict())
        if not self.first:
            return model
        fresh = build()
        fresh.load_state_dict(state)
        return fresh


class _InMemory:
    """Puts what is sent and received into memory of its own. processes: which send it."""

    def __init__(self, processes: Sharded):
        self._processes = processes

    def allocate(self, size: Any, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """See torch's `Comm`."""
        return torch.empty(*size, dtype=dtype, device=device)


class _AllGather(_InMemory, AllGather):
    """As torch's own; reports a process that has ended."""

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, async_op: bool = False
    ) -> Any:
        with self._processes.exchange():
            return dist.all_gather_single(output_tensor, input_tensor, group, async_op)


class _TreeReduceScatter(_InMemory, ReduceScatter):
    """Sums the gradients of the processes, each a slice, in the order of the tree."""

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any,
        async_op: bool = False,
    ) -> None:  # fmt: skip
        received = torch.empty_like(input_tensor)
        with self._processes.exchange():
            dist.all_to_all_single(received, input_tensor, group=group)
        output_tensor.copy_(self._processes.add(received.chunk(self._processes.size)))


def _divisible(parameter: Tensor, size: int) -> bool:
    """Whether a weight is divided, by its rows: a matrix whose slices are whole cache lines. Adam's
    kernel computes the rest of a tensor, which fills no vector, to other last digits."""
    rows, columns = len(parameter), parameter[0].numel()
    return parameter.ndim > 1 and -(-rows // size) * columns % LINE == 0


def _own(tensor: Any) -> Tensor:
    return tensor.to_local() if is_slice(tensor) else tensor


def _as(like: Any, part: Tensor) -> Tensor:
    """A tensor of which this process has the slice `part`, divided like another."""
    if not is_slice(like):
        return part
    return DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape,
        stride=like.stride(),
    )  # fmt: skip
