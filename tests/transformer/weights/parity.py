"""How equal a model of ours is to the one whose weights it took: outputs and gradients."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transformer import Transformer

Convert = Callable[[nn.Module], Transformer]


@dataclass(frozen=True)
class Call:
    """The same input for both models.

    shape: in words.
    ours, theirs: from model to output.
    real: which positions of the outputs count; None for all.
    """

    shape: str
    ours: Callable[[Transformer], Tensor]
    theirs: Callable[[Any], Tensor]
    real: Tensor | None = None


@dataclass(frozen=True)
class Case:
    """A reference model with random weights, and inputs for it.

    make: the reference; convert: it as ours.
    gradients: whether they can be compared too.
    """

    family: str
    source: str
    make: Callable[[], nn.Module]
    convert: Convert
    calls: Callable[[nn.Module], list[Call]]
    gradients: bool = True

    @property
    def name(self) -> str:
        return f"{self.family}: {self.source}"


@dataclass(frozen=True)
class Errors:
    """Norm of the difference over norm of the reference; gradients: None if not compared."""

    shape: str
    outputs: float
    gradients: float | None


def errors(case: Case) -> Iterator[Errors]:
    """Errors of each call, in float32 and evaluation mode."""
    torch.manual_seed(0)
    theirs = randomised(case.make()).eval()
    ours = case.convert(theirs)
    for call in case.calls(theirs):
        outputs = call.ours(ours), call.theirs(theirs)
        if call.real is not None:
            outputs = tuple(output[call.real] for output in outputs)
        assert outputs[0].shape == outputs[1].shape
        # The loss weighs all outputs differently, so that all of them reach all parameters.
        weights = torch.randn_like(outputs[1])
        for model, output in zip((ours, theirs), outputs, strict=True):
            model.zero_grad()
            (output * weights).sum().backward()
        gradients = None
        if case.gradients:
            # A reference whose parameters are its gradients goes through the same conversion.
            expected = dict(case.convert(with_gradients(theirs)).named_parameters())
            found = {name: p.grad for name, p in ours.named_parameters()}
            gradients = relative(*(torch.cat([values[name].flatten() for name in found])
                                   for values in (found, expected)))
        yield Errors(call.shape, relative(*outputs), gradients)


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over norm of the reference."""
    return ((ours - theirs).norm() / theirs.norm()).item()


@torch.no_grad()
def randomised(model: nn.Module) -> nn.Module:
    """With every parameter moved: none is left at one or zero, where mistakes do not show.

    Wide ones by less, as they start: numbers that grow from block to block lose their digits.
    """
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.5 / parameter.shape[-1] ** 0.5)
    return model


@torch.no_grad()
def with_gradients(model: nn.Module) -> nn.Module:
    """A copy whose parameters are the gradients of `model`."""
    gradients = [p.grad for p in model.parameters()]
    model = copy.deepcopy(model)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.copy_(torch.zeros_like(parameter) if gradient is None else gradient)
    return model
