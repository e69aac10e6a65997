"""Independent random streams.

Each generator has the seed (seed, name of the stream, counters). So a change of one stream (say,
augmentation) does not affect another (say, the data order), and a step can be repeated without the
steps before it: the only random state of a training is the number of the step.
"""

import hashlib

import torch


def derive(seed: int, stream: str, *counters: int) -> int:
    """A 63-bit seed for the stream `stream` at the given counters (step, epoch, ...)."""
    key = "/".join(map(str, (seed, stream, *counters)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """A CPU generator for the stream: the same random numbers for all devices."""
    return torch.Generator().manual_seed(derive(seed, stream, *counters))


def fixed_generator(stream: str) -> torch.Generator:
    """A generator that does not depend on the training's seed, for evaluation: so results of
    several seeds differ only because of training."""
    return generator(0, f"fixed/{stream}")
