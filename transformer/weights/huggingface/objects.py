"""Checks that a transformers model in memory was not changed after its class made it."""

import copy
from typing import Any

import torch
from torch import nn

from transformer.weights.components import path, require, unmodified, without_gradient_hooks

# Numbers that change no output; the tensors show the vocabulary size.
WITHOUT_EFFECT = ("training", "gradient_checkpointing", "vocab_size")


def unchanged(model: nn.Module) -> None:
    """Require the parts and the numbers that the model's configuration gives: the import reads
    only the configuration and the tensors.

    Raises:
        ValueError: a part differs; the message names it.
    """
    unmodified(model, harmless=("transformers.",))  # its hooks only collect outputs
    without_gradient_hooks(model)
    with torch.device("meta"):
        made = dict(type(model)(copy.deepcopy(model.config)).named_modules())
    for name, part in model.named_modules():
        where = name or "the model"
        require(name in made, where, f"the additional module {type(part).__name__}")
        found, expected = path(part), path(made[name])
        require(found == expected, where, f"{found} in place of {expected}")
        numbers, usual = _numbers(part), _numbers(made[name])
        for key in sorted(numbers.keys() & usual.keys()):
            same = numbers[key] == usual[key]
            require(same, where, f"{key} {numbers[key]} (the configuration has {usual[key]})")


def _numbers(part: nn.Module) -> dict[str, Any]:
    """Numbers that a module computes with: eps, a scale, a probability, a padding token."""
    kinds = (int, float, tuple, type(None))
    return {
        key: value
        for key, value in vars(part).items()
        if isinstance(value, kinds) and key not in WITHOUT_EFFECT and not key.startswith("_")
    }
