"""Models of Hugging Face transformers, as folders with config.json and model.safetensors.

transformers itself is not needed. Each family is a file: `clean` (their tensors, each parameter
once), `build` (the Transformer of a config.json), `links` (which tensor is which parameter) and
`describe` (the config.json of a Transformer).
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from transformer.attention import GroupedQueryAttention
from transformer.heads import ClassificationHead, LanguageModelHead, MaskedLanguageModelHead
from transformer.model import Transformer
from transformer.positions import Rotary
from transformer.weights.huggingface import bert, gpt2, llama, vit
from transformer.weights.huggingface.config import Config
from transformer.weights.links import dump, load

FAMILIES = {"bert": bert, "megatron-bert": bert, "gpt2": gpt2, "llama": llama, "vit": vit}
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def from_huggingface(
    folder: Path | str,
    image_size: int | tuple[int, int] | None = None,
    drop: tuple[str, ...] = (),
) -> Transformer:
    """The model in `folder`, in evaluation mode and float32.

    image_size: of the images, where a ViT is to take others than it was trained on: its
        positions are interpolated as transformers does.
    drop: beginnings of the names of tensors to leave out, such as the head of another task.

    Raises:
        ValueError: the folder holds no such model, or something in its configuration or weights
            that would not be honoured.
    """
    folder = Path(folder)
    config = Config(read_config(folder), CONFIG)
    try:
        family, architecture = _architecture(config)
        tensors = {k: t.float() for k, t in _read(folder).items() if not k.startswith(drop)}
        if image_size is not None and family is not vit:
            raise ValueError(f"image_size is given, but a {architecture} takes no images")
        size = {} if image_size is None else {"image_size": image_size}
        tensors = family.clean(tensors, config, **size)
        model = family.build(config, architecture, tensors, **size)
        config.finish()
        load(model, tensors, family.links(model))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return model.eval()


def to_huggingface(
    model: Transformer, folder: Path | str, settings: dict[str, Any] | None = None
) -> str:
    """Write `model` as config.json and model.safetensors, which transformers' Auto classes open.

    settings: further keys of config.json, such as id2label.
    Returns the name of the class that it is there.

    Raises:
        ValueError: no family of transformers has a place for a part of the model; it is named.
    """
    family = _family(model)
    config, tensors = family.describe(model)
    config |= {"dtype": "float32", **(settings or {})}
    tensors |= dump(dict(model.named_parameters()), family.links(model))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    return config["architectures"][0]


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder.

    Raises:
        ValueError: it is not there, or no JSON object.
    """
    try:
        values = json.loads((folder / CONFIG).read_text("utf-8"))
    except OSError:
        raise ValueError(
            f"{folder / CONFIG} is missing: expected a folder with {CONFIG} and {WEIGHTS}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{folder / CONFIG}: expected a JSON object")
    return values


def _architecture(config: Config) -> tuple[Any, str]:
    """The family and the class that the configuration names."""
    family = FAMILIES.get(config.take("model_type"))
    if family is None:
        raise config.refusal("model_type", f"known are {', '.join(FAMILIES)}")
    given = config.take("architectures") or []
    if len(given) != 1 or given[0] not in family.ARCHITECTURES:
        raise config.refusal("architectures", f"one of {', '.join(family.ARCHITECTURES)} is")
    return family, given[0]


def _read(folder: Path) -> dict[str, Tensor]:
    """All tensors of one file, or of the several that an index names."""
    files = [folder / WEIGHTS]
    if not files[0].is_file() and (folder / INDEX).is_file():
        names = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()
        files = [folder / name for name in sorted(set(names))]
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file.name} is missing: weights are read from safetensors alone")
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise ValueError(f"{file.name}: not readable as safetensors: {error}") from None
    return tensors


def _family(model: Transformer) -> Any:
    """The family whose head is the model's; of the causal ones, Llama's if positions rotate."""
    if isinstance(model.head, MaskedLanguageModelHead):
        return bert
    if isinstance(model.head, ClassificationHead):
        return vit
    if not isinstance(model.head, LanguageModelHead):
        raise ValueError(f"no family of transformers has the head {type(model.head).__name__}")
    attention = model.blocks[0].attention
    rotary = isinstance(getattr(attention, "rotation", None), Rotary)
    return llama if rotary or isinstance(attention, GroupedQueryAttention) else gpt2
