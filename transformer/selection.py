"""Which tokens' hidden states a head reads.

The last block projects its attention and computes its MLP for these alone, since nobody reads what
it makes of the others. The result is the same.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Selection(Protocol):
    """Some of the tokens of a batch."""

    def __call__(self, x: Tensor) -> Tensor:
        """The vectors of the chosen tokens, from those of all, (B, T, d_model)."""


class EveryToken:
    """All: (B, T, d_model)."""

    def __call__(self, x: Tensor) -> Tensor:
        """See Selection."""
        return x


EVERY = EveryToken()


class FirstToken:
    """The first of each sequence, such as a class token: (B, 1, d_model)."""

    def __call__(self, x: Tensor) -> Tensor:
        """See Selection."""
        return x[:, :1]


@dataclass(frozen=True, eq=False)
class TokensAt:
    """Those at `indices` (N,), which count the B * T tokens row by row: (N, d_model)."""

    indices: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """See Selection."""
        return x.flatten(0, 1).index_select(0, self.indices.to(x.device))
