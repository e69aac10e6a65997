"""Muon for CPUs too: in full precision there, and for several matrices at a time.

torch.optim.Muon orthogonalises one matrix after another in bfloat16, which is slow on a CPU without
bfloat16 units (ten times slower than float32 where this was measured). This subclass stacks
matrices of equal shape and uses float32 on a CPU, where wide matrices need fewer operations.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pipeline.training.eager import Eager
from pipeline.training.slices import sliced, whole

# Coefficients of the quintic iteration (Jordan et al. 2024, "Muon: An optimizer for hidden layers
# in neural networks"): the steepest slope at zero with which singular values converge near one.
A, B, C = 3.4445, -4.7750, 2.0315
# On Gram matrices, rounding errors grow with each step: to 2e-4 of the result after five steps in
# float32, without a bound after ten. So the iteration begins anew after so many.
RESTART = 5


def orthogonalize(matrices: Tensor, steps: int) -> Tensor:
    """Approximately the nearest semi-orthogonal matrices, by a Newton-Schulz iteration.

    matrices: (N, rows, columns). Nearly all singular values of the result are between about 0.7 and
        1.2, but those that are tiny beside the largest.
    """
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    if _is_wide(x):
        for first in range(0, steps, RESTART):
            x = _factor(x @ x.mT, min(RESTART, steps - first)) @ x
    else:
        for _ in range(steps):
            gram = x @ x.mT
            x = torch.baddbmm(x, _quadratic(gram), x, beta=A)  # (A + quadratic) @ x
    return (x.mT if tall else x).to(matrices.dtype)


def _is_wide(x: Tensor) -> bool:
    """Whether the iteration is on the Gram matrices of `x`, which is less work for a wide matrix.

    Bfloat16 has not the precision for it.
    """
    rows, columns = sorted(x.shape[-2:])
    return 2 * columns > 3 * rows and not x.is_cuda


def _factor(gram: Tensor, steps: int) -> Tensor:
    """The product of the factors (A + quadratic) of all steps, from the Gram matrix of the first:
    both (N, rows, rows) (Zhang, Amsel, Chen and Dao 2026, "Gram Newton-Schulz").

    All these matrices are symmetric, and commute.
    """
    quadratic = _quadratic(gram)
    product = quadratic.clone()
    product.diagonal(dim1=-2, dim2=-1).add_(A)
    for _ in range(steps - 1):
        half = torch.baddbmm(gram, gram, quadratic, beta=A)
        gram = torch.baddbmm(half, half, quadratic, beta=A)  # of the next step
        quadratic = _quadratic(gram)
        product = torch.baddbmm(product, quadratic, product, beta=A)
    return product


def _quadratic(gram: Tensor) -> Tensor:
    """B * gram + C * gram @ gram, with the sum within the product."""
    return torch.baddbmm(gram, gram, gram, beta=B, alpha=C)


def _flops(matrix: Tensor, steps: int) -> int:
    """Floating-point operations of the products in `orthogonalize`: 2 for each term."""
    m, n = sorted(matrix.shape)
    square = begun = steps
    if _is_wide(matrix):
        begun = -(-steps // RESTART)
        square = 4 * steps - 3 * begun
    # Products of m x m matrices; and m x m products over n, m x n products over m.
    return 2 * (square * m**3 + 2 * begun * m * m * n)


class Muon(Eager, torch.optim.Muon):
    """Orthogonalised momentum, for the hidden matrices of a model.

    Options as in torch.optim.Muon, with its defaults for those that are missing here. A parameter
    group may have one more: `parts`, the number of matrices that are stacked in each parameter (3
    for a fused QKV), and orthogonalised separately.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        ns_steps: int = 5,
    ):
        super().__init__(params, lr, weight_decay, momentum, ns_steps=ns_steps)
        for group in self.param_groups:
            group.setdefault("parts", 1)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # takes no closure
        for group in self.param_groups:
            for parameters in _by_shape(group):
                self._step_stacked(parameters, group)

    def flops_per_step(self) -> int:
        """Floating-point operations of the matrix products of a step."""
        total = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                first = parameter[: len(parameter) // group["parts"]]
                total += group["parts"] * _flops(first, group["ns_steps"])
        return total

    def _step_stacked(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update parameters of equal shape."""
        gradients, buffers = [], []
        for parameter in parameters:
            assert parameter.grad is not None
            gradients.append(parameter.grad)
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            buffers.append(state["momentum_buffer"])
        momentum = group["momentum"]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        directions = [whole(each) for each in torch._foreach_lerp(gradients, buffers, momentum)]
        rows, columns = parameters[0].shape
        rows //= group["parts"]
        stacked = torch.stack(directions).view(-1, rows, columns)
        updates = orthogonalize(stacked, group["ns_steps"]).view(-1, *parameters[0].shape)
        lr = group["lr"]
        torch._foreach_mul_(parameters, 1 - lr * group["weight_decay"])
        own = [sliced(update, parameters[0]) for update in updates.unbind()]
        torch._foreach_add_(parameters, own, alpha=-lr * math.sqrt(max(1.0, rows / columns)))


def _by_shape(group: dict[str, Any]) -> Iterable[list[Tensor]]:
    """The parameters of a group, those of equal shape together."""
    by_shape = defaultdict(list)
    for parameter in group["params"]:
        by_shape[parameter.shape].append(parameter)
    return by_shape.values()
