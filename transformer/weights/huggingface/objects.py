"""A model of transformers in memory: whether it is what its class makes of its configuration."""

import copy
from typing import Any

import torch
from torch import nn

from transformer.weights.components import path, require, unmodified

# Numbers that change no output; the size of the vocabulary shows in the tensors.
WITHOUT_EFFECT = ("training", "gradient_checkpointing", "vocab_size")


def unchanged(model: nn.Module) -> None:
    """Refuse a model with parts of other classes or with other numbers than its configuration
    makes: only the configuration and the tensors are read.

    Raises:
        ValueError: a part differs; it is named.
    """
    unmodified(model, harmless=("transformers.",))  # whose own hooks collect outputs
    with torch.device("meta"):
        made = dict(type(model)(copy.deepcopy(model.config)).named_modules())
    for name, part in model.named_modules():
        where = name or "the model"
        require(name in made, where, f"the further part {type(part).__name__}")
        found, expected = path(part), path(made[name])
        require(found == expected, where, f"{found} in place of {expected}")
        numbers, usual = _numbers(part), _numbers(made[name])
        for key in sorted(numbers.keys() & usual.keys()):
            same = numbers[key] == usual[key]
            require(same, where, f"{key} {numbers[key]}, in the configuration {usual[key]},")


def _numbers(part: nn.Module) -> dict[str, Any]:
    """What a part computes with besides tensors: eps, a scale, a probability, a padding token."""
    kinds = (int, float, tuple, type(None))
    return {
        key: value
        for key, value in vars(part).items()
        if isinstance(value, kinds) and key not in WITHOUT_EFFECT and not key.startswith("_")
    }
