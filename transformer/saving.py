"""Saves a model to one file, and builds it again from there; needs torch alone.

For the files of other libraries, see `transformer.weights`.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from transformer.build import bert, encoder_decoder, gpt, vit
from transformer.config import Architecture
from transformer.model import Transformer

BUILDERS: dict[str, Callable[..., Transformer]] = {
    "bert": bert,
    "gpt": gpt,
    "vit": vit,
    "encoder_decoder": encoder_decoder,
}


def build(config: dict[str, Any], generator: torch.Generator | None = None) -> Transformer:
    """The model that `config` describes, with initial weights.

    config: a model's own, or {"kind": a key of BUILDERS, "architecture": the fields of
        Architecture, and the other arguments of that function}.

    Raises:
        ValueError: the kind is unknown.
    """
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind not in BUILDERS:
        raise ValueError(f"kind: {kind!r} is unknown; expected one of {', '.join(BUILDERS)}")
    architecture = Architecture(**arguments.pop("architecture"))
    return BUILDERS[kind](architecture, **arguments, generator=generator)


def save(model: Transformer, path: str | os.PathLike[str]) -> None:
    """Write the configuration and the weights of `model` to one file, for `load`.

    Raises:
        ValueError: the model was not built by a function of BUILDERS, or a part of it has been
            replaced or changed since.
    """
    if model.config is None:
        raise ValueError(
            f"only a model built by {', '.join(BUILDERS)} can be saved; for an imported one see "
            "transformer.weights.to_huggingface"
        )
    difference = _difference(model, _fresh(model.config))
    if difference:
        raise ValueError(f"{difference}: the model is not as its configuration describes it")
    torch.save({"config": model.config, "weights": model.state_dict()}, path)


def load(path: str | os.PathLike[str]) -> Transformer:
    """The model that `save` wrote, on the CPU, in evaluation mode, with all parameters trainable.

    Raises:
        ValueError: the file has something else.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or saved.keys() != {"config", "weights"}:
        raise ValueError(f"{path}: expected a file of transformer.save")
    model = _fresh(saved["config"])
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(saved["weights"][name].dtype)
    model.load_state_dict(saved["weights"])
    return model.eval()


def _fresh(config: dict[str, Any]) -> Transformer:
    """A model as `config` describes it, whose weights are not used: torch's generator stays as it
    is."""
    with torch.random.fork_rng(devices=[]):
        return build(config)


def _difference(model: nn.Module, fresh: nn.Module) -> str | None:
    """The first module that has another type or other settings in `model` than in `fresh`."""
    ours, theirs = dict(model.named_modules()), dict(fresh.named_modules())
    for name in [*ours, *theirs]:
        if name not in ours or name not in theirs or _facts(ours[name]) != _facts(theirs[name]):
            return name or "the model"
    shared = len(list(model.parameters())) == len(list(fresh.parameters()))
    return None if shared else "parameters shared with each other"


def _facts(module: nn.Module) -> dict[str, Any]:
    """Type, numbers and names of a module, and the types of its other attributes."""
    plain = (bool, int, float, str, tuple, type(None))
    facts = {
        name: value if isinstance(value, plain) else type(value)
        for name, value in vars(module).items()
        if name != "training"
    }
    shapes = {name: tensor.shape for name, tensor in module.named_parameters(recurse=False)}
    return {**facts, "type": type(module), "shapes": shapes}
