"""Learning-rate schedules: the factor on the base learning rate, as a function of the step."""

import math
from collections.abc import Callable

# From progress through the decay, 0 to 1, to the factor on the learning rate.
DECAYS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def factor(
    step: int, steps: int, schedule: str, warmup_steps: int = 0, decay_fraction: float = 1.0
) -> float:
    """Linear warm-up, then the full rate, then decay to zero over the last part.

    step: from 0; the factor is above 0 at all steps, also the first and the last.
    schedule: one of DECAYS, over the last `decay_fraction` of all steps.
    """
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    decay_steps = decay_fraction * steps
    into_decay = step - (steps - decay_steps)
    progress = max(0.0, into_decay / decay_steps) if decay_steps else 0.0
    return warmup * DECAYS[schedule](progress)
