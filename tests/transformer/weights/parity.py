"""Compares an imported model with the original: outputs and gradients."""

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

    shape: for messages.
    ours, theirs: from model to output.
    real: the positions of the outputs to compare; None for all.
    """

    shape: str
    ours: Callable[[Transformer], Tensor]
    theirs: Callable[[Any], Tensor]
    real: Tensor | None = None


@dataclass(frozen=True)
class Case:
    """A reference model with random weights, and inputs for it.

    make: returns the reference; convert: imports it.
    gradients: whether to compare them, too.
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
    """Relative errors (norms of difference and reference); gradients: None if not compared."""

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
        # Random weights for all outputs, so that each affects all gradients.
        weights = torch.randn_like(outputs[1])
        for model, output in zip((ours, theirs), outputs, strict=True):
            model.zero_grad()
            (output * weights).sum().backward()
        gradients = None
        if case.gradients:
            # Import a copy of the reference whose parameters are its gradients.
            expected = dict(case.convert(with_gradients(theirs)).named_parameters())
            found = {name: p.grad for name, p in ours.named_parameters()}
            gradients = relative(
                *(
                    torch.cat([values[name].flatten() for name in found])
                    for values in (found, expected)
                )
            )
        yield Errors(call.shape, relative(*outputs), gradients)


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference divided by the norm of the reference."""
    return ((ours - theirs).norm() / theirs.norm()).item()


@torch.no_grad()
def randomised(model: nn.Module) -> nn.Module:
    """Change every parameter, because ones and zeros would hide mistakes.

    Wide ones change less, like their initial values, so that activations do not grow with depth.
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
