"""Links between tensors of another library and our parameters, for import and export."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Link:
    """One of our modules or parameters, and the same in another library.

    ours: the name of a module, for all its own parameters (weight, bias), or of one parameter.
    theirs: its names there; ours stacks several in one tensor.
    transposed: their matrices are the transpose of ours.
    leading: number of leading dimensions of size 1 in theirs.
    keys: configuration keys that determine their presence and shape, for error messages.
    """

    ours: str
    theirs: tuple[str, ...] | str
    transposed: bool = False
    leading: int = 0
    keys: str = ""

    def names(self, suffix: str = "") -> list[str]:
        """Their names, with `suffix` for a parameter of a module."""
        theirs = (self.theirs,) if isinstance(self.theirs, str) else self.theirs
        return [name + suffix for name in theirs]

    def under(self, ours: str, theirs: str) -> "Link":
        """The same link inside the modules `ours` and `theirs`."""
        names = tuple(f"{theirs}.{name}" for name in self.names())
        return replace(self, ours=f"{ours}.{self.ours}", theirs=names)

    def to_ours(self, tensors: list[Tensor]) -> Tensor:
        """Their tensors as our parameter."""
        if self.transposed:
            tensors = [tensor.mT if tensor.ndim == 2 else tensor for tensor in tensors]
        joined = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        return joined.reshape(joined.shape[self.leading :])

    def to_theirs(self, parameter: Tensor) -> list[Tensor]:
        """Our parameter as their tensors."""
        parts = list(parameter.chunk(len(self.names())))
        if self.transposed:
            parts = [part.mT if part.ndim == 2 else part for part in parts]
        return [part.reshape((1,) * self.leading + part.shape).contiguous() for part in parts]


def in_blocks(links: Iterable[Link], theirs: str, count: int, ours: str = "blocks.") -> list[Link]:
    """The links of one block, repeated for `count` blocks.

    ours, theirs: names of the blocks without the number at the end.
    """
    links = list(links)
    return [link.under(f"{ours}{i}", f"{theirs}{i}") for i in range(count) for link in links]


@torch.no_grad()
def load(model: nn.Module, tensors: dict[str, Tensor], links: Iterable[Link]) -> None:
    """Load `tensors` into `model`: each tensor and each parameter is used exactly once.

    Raises:
        ValueError: a tensor is missing, has another shape or type, or matches no parameter; or
            a parameter has no tensor, or several.
    """
    parameters, left = dict(model.named_parameters()), dict(tensors)
    filled = set()
    for ours, theirs, link in _pairs(parameters, links):
        if ours in filled:
            raise ValueError(f"{ours} is filled twice")
        see = f" (see {link.keys})" if link.keys else ""
        missing = [name for name in theirs if name not in left]
        if missing:
            raise ValueError(f"missing tensors: {_some(missing)}{see}")
        given = [left.pop(name) for name in theirs]
        for name, tensor, wanted in zip(
            theirs, given, link.to_theirs(parameters[ours]), strict=True
        ):
            if not tensor.is_floating_point():
                raise ValueError(f"{name}: expected floating-point numbers, not {tensor.dtype}")
            if tensor.shape != wanted.shape:
                raise ValueError(
                    f"{name}: shape {tuple(tensor.shape)}, but the configuration gives "
                    f"{tuple(wanted.shape)}{see}"
                )
        parameters[ours].copy_(link.to_ours(given))
        filled.add(ours)
    if filled != parameters.keys():
        raise ValueError(f"no tensor for {_some(sorted(parameters.keys() - filled))}")
    if left:
        raise ValueError(f"tensors that the model does not have: {_some(sorted(left))}")


def freeze(model: nn.Module, frozen: set[str], links: Iterable[Link]) -> None:
    """Freeze the parameters of `model` that are made of the tensors `frozen`."""
    parameters = dict(model.named_parameters())
    for ours, theirs, _ in _pairs(parameters, links):
        if not frozen.isdisjoint(theirs):
            parameters[ours].requires_grad_(False)


def dump(values: dict[str, Tensor], links: Iterable[Link]) -> dict[str, Tensor]:
    """The reverse: our parameters, or their gradients, under the names of the other library.

    Raises:
        ValueError: a parameter has no name there, or two have the same name.
    """
    dumped: dict[str, Tensor] = {}
    used = set()
    for ours, theirs, link in _pairs(values, links):
        for name, tensor in zip(theirs, link.to_theirs(values[ours].detach()), strict=True):
            if name in dumped:
                raise ValueError(f"{name} is written twice")
            dumped[name] = tensor
        used.add(ours)
    if used != values.keys():
        raise ValueError(f"no link for {_some(sorted(values.keys() - used))}")
    return dumped


def _pairs(
    parameters: Mapping[str, Tensor], links: Iterable[Link]
) -> Iterator[tuple[str, list[str], Link]]:
    """(our parameter, their tensors, link) for each of our parameters that has a link."""
    for link in links:
        if link.ours in parameters:
            yield link.ours, link.names(), link
        else:
            own = [name for name in parameters if name.rpartition(".")[0] == link.ours]
            for name in own:
                yield name, link.names(name[len(link.ours) :]), link


def _some(names: list[str]) -> str:
    """The first five names, and how many more there are."""
    rest = len(names) - 5
    return ", ".join(names[:5]) + (f" and {rest} more" if rest > 0 else "")
