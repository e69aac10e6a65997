"""Random streams that do not know of each other.

Every draw comes from a generator seeded by (seed, name of the stream, counters), so that changing
one stream (say, augmentation) does not shift another (say, the data order), and a step can be
repeated without replaying the steps before it: a training position is one number, the step.
"""

import hashlib

import torch


def derive(seed: int, stream: str, *counters: int) -> int:
    """A 63-bit seed for the stream `stream` at the given counters (step, epoch, ...)."""
    key = "/".join(map(str, (seed, stream, *counters)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """A CPU generator for the stream: the same draws whatever device trains."""
    return torch.Generator().manual_seed(derive(seed, stream, *counters))


def fixed_generator(stream: str) -> torch.Generator:
    """A generator for what is drawn once and is the same whatever the seed of a training: with
    it, figures of several seeds differ by the training alone."""
    return generator(0, f"fixed/{stream}")
