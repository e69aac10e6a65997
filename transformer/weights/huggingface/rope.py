"""Rotary positions in a config.json of transformers, and the scaling of their frequencies."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from transformer.positions import Rotary
from transformer.weights.huggingface.config import Config, is_number


@dataclass(frozen=True)
class Unscaled:
    """No scaling of frequencies."""

    def __call__(self, frequencies: Tensor) -> Tensor:
        """(d_head / 2,) in radians per position to the same."""
        return frequencies


@dataclass(frozen=True)
class Linear:
    """Positional interpolation (Chen et al. 2023, "Extending Context Window of Large Language
    Models via Positional Interpolation")."""

    factor: float

    def __call__(self, frequencies: Tensor) -> Tensor:
        """(d_head / 2,) in radians per position to the same."""
        return frequencies / self.factor


@dataclass(frozen=True)
class Llama3:
    """Scales only low frequencies, with a smooth transition (Llama 3.1)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def __post_init__(self) -> None:
        if not self.low_freq_factor < self.high_freq_factor:
            raise ValueError("expected a high_freq_factor above low_freq_factor")

    def __call__(self, frequencies: Tensor) -> Tensor:
        """(d_head / 2,) in radians per position to the same."""
        turns = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        kept = kept.clamp(0, 1)  # 1 where a context has many turns, 0 where it has few
        return frequencies * (kept + (1 - kept) / self.factor)


SCALINGS = {"default": Unscaled, "linear": Linear, "llama3": Llama3}
NAMES = {kind: name for name, kind in SCALINGS.items()}


def read(config: Config, length: int, d_head: int) -> Rotary:
    """The rotary positions of `config`, from `rope_parameters`, or from the older keys
    `rope_theta` and `rope_scaling`.

    `rope_scaling` replaces all of `rope_parameters`, as in transformers.

    Raises:
        ValueError: they are unknown, or contradict each other.
    """
    theta = config.positive("rope_theta", 10_000.0)
    sections = {key: config.take(key, None) for key in ("rope_scaling", "rope_parameters")}
    key = next((key for key, section in sections.items() if section), "rope_parameters")
    section = sections[key] or {}
    if not isinstance(section, dict):
        raise config.refusal(key, "expected a section with a rope_type")
    given = dict(section)
    kinds = [given.pop(name) for name in ("rope_type", "type") if name in given] or ["default"]
    if kinds[0] not in SCALINGS or kinds[0] != kinds[-1]:
        raise config.refusal(key, f"expected a rope_type of {', '.join(SCALINGS)}")
    if given.pop("partial_rotary_factor", 1.0) != 1.0:
        raise config.refusal(key, "expected a partial_rotary_factor of 1")
    theta = given.pop("rope_theta", theta)
    if not all(is_number(value) and value > 0 for value in (theta, *given.values())):
        raise config.refusal(key, "expected numbers above 0")
    kind = SCALINGS[kinds[0]]
    try:
        return Rotary(length, d_head, theta, kind(**given))
    except (TypeError, ValueError) as error:
        plainly = str(error).replace(f"{kind.__name__}.__init__()", f"rope_type {kinds[0]}")
        raise config.refusal(key, plainly) from None


def is_known(scaling: Callable[[Tensor], Tensor] | None) -> bool:
    """Whether transformers supports this scaling of frequencies (d_head / 2,)."""
    return scaling is None or type(scaling) in NAMES


def write(rotary: Rotary) -> dict[str, Any]:
    """The `rope_parameters` from which `read` makes the same positions; needs a known scaling."""
    scaling: Any = rotary.scaling or Unscaled()
    kind = NAMES[type(scaling)]
    return {"rope_type": kind, "rope_theta": rotary.theta, **asdict(scaling)}
