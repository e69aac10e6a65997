"""Muon for CPUs too: in full precision there, and for several matrices at a time.

torch.optim.Muon orthogonalises one matrix after another in bfloat16, which is slow on a CPU without
bfloat16 units (ten times slower than float32 where this was measured). This subclass stacks
matrices of equal shape and uses float32 on a CPU.
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


def orthogonalize(matrices: Tensor, steps: int) -> Tensor:
    """Approximately the nearest semi-orthogonal matrices, by a Newton-Schulz iteration.

    matrices: (N, rows, columns). Nearly all singular values of the result are between about 0.7 and
        1.2, but those that are tiny beside the largest.
    """
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        # A * x + (B * gram + C * gram @ gram) @ x, with the sums within the products.
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return (x.mT if tall else x).to(matrices.dtype)


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
                rows, columns = parameter.shape[0] // group["parts"], parameter.shape[1]
                m, n = sorted((rows, columns))
                # An m x m product over n, one over m, and an m x n product over m; each 2 per term.
                total += group["ns_steps"] * group["parts"] * (4 * m * m * n + 2 * m**3)
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
