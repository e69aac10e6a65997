"""Which tensor of another library is which parameter of ours, as data that is read both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Link:
    """One of our modules or parameters, and what holds it elsewhere.

    ours: the name of a module, for all its own parameters (weight, bias), or of one parameter.
    theirs: names there, likewise; several stand above each other in ours.
    transposed: their matrices are the transpose of ours.
    leading: dimensions of size 1 that theirs have in front.
    """

    ours: str
    theirs: tuple[str, ...] | str
    transposed: bool = False
    leading: int = 0

    def names(self, suffix: str = "") -> list[str]:
        """Their names, of the parameter `suffix` of a module."""
        theirs = (self.theirs,) if isinstance(self.theirs, str) else self.theirs
        return [name + suffix for name in theirs]

    def to_ours(self, tensors: list[Tensor]) -> Tensor:
        """Their tensors as our parameter."""
        if self.transposed:
            tensors = [tensor.mT if tensor.ndim == 2 else tensor for tensor in tensors]
        joined = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        return joined.reshape(joined.shape[self.leading :])

    def to_theirs(self, parameter: Tensor) -> list[Tensor]:
        """Our parameter as their tensors."""
        parts = parameter.chunk(len(self.names()))
        if self.transposed:
            parts = [part.mT if part.ndim == 2 else part for part in parts]
        return [part.reshape((1,) * self.leading + part.shape).contiguous() for part in parts]


@torch.no_grad()
def load(model: nn.Module, tensors: dict[str, Tensor], links: Iterable[Link]) -> None:
    """Fill every parameter of `model` exactly once, from every one of `tensors` exactly once.

    Raises:
        ValueError: a tensor is missing, of another shape, or has no place in the model.
    """
    parameters, left = dict(model.named_parameters()), dict(tensors)
    filled = set()
    for ours, theirs, link in _pairs(parameters, links):
        assert ours not in filled, f"{ours} is filled twice"
        missing = [name for name in theirs if name not in left]
        if missing:
            raise ValueError(f"missing tensors: {_some(missing)}")
        value = link.to_ours([left.pop(name) for name in theirs])
        if value.shape != parameters[ours].shape:
            raise ValueError(
                f"{', '.join(theirs)}: of shape {tuple(value.shape)}, but the configuration "
                f"makes it {tuple(parameters[ours].shape)}"
            )
        parameters[ours].copy_(value)
        filled.add(ours)
    assert filled == parameters.keys(), f"not filled: {sorted(parameters.keys() - filled)}"
    if left:
        raise ValueError(f"tensors that the model has no place for: {_some(sorted(left))}")


def dump(values: dict[str, Tensor], links: Iterable[Link]) -> dict[str, Tensor]:
    """The reverse: parameters of ours by name, or their gradients, under the names of others."""
    dumped: dict[str, Tensor] = {}
    used = set()
    for ours, theirs, link in _pairs(values, links):
        for name, tensor in zip(theirs, link.to_theirs(values[ours].detach()), strict=True):
            assert name not in dumped, f"{name} is written twice"
            dumped[name] = tensor
        used.add(ours)
    assert used == values.keys(), f"not written: {sorted(values.keys() - used)}"
    return dumped


def _pairs(
    parameters: dict[str, Tensor], links: Iterable[Link]
) -> Iterator[tuple[str, list[str], Link]]:
    """(our parameter, their tensors, link) for each of our parameters that a link stands for."""
    for link in links:
        if link.ours in parameters:
            yield link.ours, link.names(), link
        else:
            own = [name for name in parameters if name.rpartition(".")[0] == link.ours]
            for name in own:
                yield name, link.names(name[len(link.ours) :]), link


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - 5
    return ", ".join(names[:5]) + (f" and {rest} more" if rest > 0 else "")
