"""Models of Hugging Face transformers, as folders with config.json and model.safetensors.

The library transformers is not needed, but safetensors is. Each model family has a file:
`ARCHITECTURES` (the classes of each model_type), `clean` (its tensors, each parameter once),
`build` (a Transformer from a config.json), `links` (which tensor is which parameter) and `describe`
(a config.json for a Transformer).
"""

import json
import shutil
from pathlib import Path
from typing import Any

from transformer.attention import GroupedQueryAttention
from transformer.heads import ClassificationHead, LanguageModelHead, MaskedLanguageModelHead
from transformer.model import Transformer
from transformer.positions import Rotary
from transformer.weights.huggingface import bert, gpt2, llama, vit
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.files import (
    CONFIG,
    WEIGHTS,
    folder_of,
    read_config,
    read_tensors,
    write_tensors,
)
from transformer.weights.links import dump, load

__all__ = ["FAMILIES", "from_huggingface", "read_config", "to_huggingface"]

# By model_type.
FAMILIES = {kind: family for family in (bert, gpt2, llama, vit) for kind in family.ARCHITECTURES}


def from_huggingface(
    source: Path | str | Any,
    image_size: int | tuple[int, int] | None = None,
    drop: tuple[str, ...] = (),
) -> Transformer:
    """Import a model of transformers, in evaluation mode and with torch's default type.

    All parameters are trainable, as after `from_pretrained`, also those frozen in an object.

    source: a folder; or the model as an object, unchanged since its class made it.
    image_size: for a ViT, if its images have another size than in training: its positions are
        interpolated as transformers does.
    drop: prefixes of the names of tensors to ignore, such as the head of another task.

    Raises:
        ValueError: the folder has no such model, or the configuration, the weights or a part of
            the object is not supported; the message names it.
    """
    with folder_of(source) as folder:
        config, tensors = Config(read_config(folder), CONFIG), read_tensors(folder)
    try:
        family, architecture = _architecture(config)
        if image_size is not None and family is not vit:
            raise ValueError(f"image_size: a {architecture} takes no images")
        tensors = {k: t for k, t in tensors.items() if not k.startswith(tuple(drop))}
        size = {} if image_size is None else {"image_size": image_size}
        tensors = family.clean(tensors, config, **size)
        model = family.build(config, architecture, tensors, **size)
        config.finish()
        load(model, tensors, family.links(model))
    except ValueError as error:
        name = source if isinstance(source, Path | str) else type(source).__name__
        raise ValueError(f"{name}: {error}") from None
    return model.eval()


def to_huggingface(
    model: Transformer, folder: Path | str, settings: dict[str, Any] | None = None
) -> str:
    """Write `model` as config.json and model.safetensors, for transformers' Auto classes.

    A BERT without token types gets one, which training would change: see `bert.describe`.

    settings: further keys of config.json, such as id2label.
    Returns the name of its class in transformers.

    Raises:
        ValueError: no family of transformers has the head of the model, or the family does not
            support other parts; the message names all of them.
    """
    family = _family(model)
    config, tensors = family.describe(model)
    types = {parameter.dtype for parameter in model.parameters()}
    if len(types) > 1:
        raise ValueError(f"parameters of several types: {', '.join(sorted(map(str, types)))}")
    dtype = types.pop()
    config |= {"dtype": str(dtype).removeprefix("torch."), **(settings or {})}
    tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    tensors |= dump(dict(model.named_parameters()), family.links(model))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(tensors, folder)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    # safetensors writes files that only their owner can read.
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)
    return config["architectures"][0]


def _architecture(config: Config) -> tuple[Any, str]:
    """The family and the class that the configuration names."""
    kind = config.take("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise config.refusal("model_type", f"expected one of {', '.join(FAMILIES)}")
    family, given = FAMILIES[kind], config.take("architectures", None)
    known = family.ARCHITECTURES[kind]
    if not isinstance(given, list) or len(given) != 1 or given[0] not in known:
        raise config.refusal("architectures", f"expected a list of one of {', '.join(known)}")
    return family, given[0]


def _family(model: Transformer) -> Any:
    """The family with the head of the model; causal models with rotary positions are Llama."""
    if not len(model.blocks):
        raise ValueError("every family of transformers needs at least one block")
    head = type(model.head)
    if head is MaskedLanguageModelHead:
        return bert
    if head is ClassificationHead:
        return vit
    if head is not LanguageModelHead:
        raise ValueError(f"no family of transformers has the head {head.__name__}")
    attention = getattr(model.blocks[0], "attention", None)
    rotary = isinstance(getattr(attention, "rotation", None), Rotary)
    return llama if rotary or isinstance(attention, GroupedQueryAttention) else gpt2
