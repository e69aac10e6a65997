"""Slices of tensors, of which other processes have the rest: see `sharding`.

Tensors of torch.distributed are known by what they can do: their import takes a second, which a
training of one process need not wait for.
"""

from typing import Any

from torch import Tensor


def is_slice(tensor: Tensor) -> bool:
    """Whether this process has only a slice of the tensor, of any shape."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The tensor, of any shape, with the slices of all processes; all have to ask for it."""
    part: Any = tensor
    return part.full_tensor() if is_slice(tensor) else tensor


def sliced(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's slice of a tensor, of any shape, that all have, if it has one of `like`."""
    if not is_slice(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    divided: Any = like
    place = divided.device_mesh, divided.placements
    return distribute_tensor(tensor.to(like.device), *place, src_data_rank=None)
