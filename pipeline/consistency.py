"""Finds keys of params.yaml that are valid alone but contradict each other."""

from collections.abc import Iterator
from typing import Any

from pipeline import MODELS

# Far above any real use; larger values would exhaust memory or take forever.
MAX_PARAMETERS = 10**10  # in the blocks of a model
MAX_PATCHES = 2**17  # in an image
MAX_TOKENS = 10**8  # in a micro-batch


def inconsistencies(raw: dict[str, Any]) -> list[str]:
    """One line for each error, with the path of the key.

    raw: values of any type, so that these errors can be reported together with errors of type.
    """
    return [line for name in MODELS for check in CHECKS for line in check(name, _Parts(raw, name))]


class _Parts:
    """The sections of one model; empty where params.yaml has no mapping."""

    def __init__(self, raw: dict[str, Any], name: str):
        section = _section(raw.get(name))
        self.data, self.objective, self.train, self.own = (
            _section(section.get(key)) for key in ("data", "objective", "train", "model")
        )
        # The shared architecture with the overrides of the model's own section.
        given = {key: value for key, value in self.own.items() if value is not None}
        self.model = _section(raw.get("model")) | given
        self.where = {
            key: f"{name}.model.{key}" if key in given else f"model.{key}" for key in self.model
        }


def _architecture(name: str, parts: _Parts) -> Iterator[str]:
    width, heads = parts.model.get("d_model"), parts.model.get("n_head")
    if _positive(width, heads) and width % heads:
        yield (
            f"{parts.where['d_model']}: {width} is not divisible by "
            f"{parts.where['n_head']}, {heads} heads (for {name})"
        )
    if _positive(width) and parts.model.get("positions") == "sinusoidal" and width % 2:
        yield f"{parts.where['d_model']}: sinusoidal positions need an even width (for {name})"
    rotary = _positive(width, heads) and parts.model.get("positions") == "rotary"
    if rotary and width % heads == 0 and width // heads % 2:
        yield (
            f"{parts.where['n_head']}: rotary positions need heads of even width, not "
            f"{width // heads} (for {name})"
        )
    groups = parts.model.get("n_kv_head")
    if _positive(heads, groups) and heads % groups:
        yield (
            f"{parts.where['n_head']}: {heads} is not divisible by "
            f"{parts.where['n_kv_head']}, {groups} heads of keys and values (for {name})"
        )
    layers, inner = parts.model.get("n_layer"), parts.model.get("d_mlp")
    if _positive(width, layers, inner):
        size = layers * (4 * width**2 + 2 * width * inner)
        if size > MAX_PARAMETERS:
            yield (
                f"{parts.where['n_layer']}: {layers} layers with d_model {width} and d_mlp {inner} "
                f"have {size:,} parameters, more than {MAX_PARAMETERS:,} (for {name})"
            )


def _images(name: str, parts: _Parts) -> Iterator[str]:
    size, patch = parts.data.get("image_size"), parts.model.get("patch_size")
    if not _positive(size, patch):
        return
    line = f"{name}.data.image_size: {size} "
    if size % patch:
        yield line + f"is not divisible by {name}.model.patch_size, {patch}"
    elif (size // patch) ** 2 > MAX_PATCHES:
        yield line + (
            f"gives {(size // patch) ** 2:,} patches of size {patch}, more than {MAX_PATCHES:,}; "
            f"increase {name}.model.patch_size"
        )


def _stem(name: str, parts: _Parts) -> Iterator[str]:
    patch, width = parts.model.get("patch_size"), parts.model.get("d_model")
    if parts.model.get("stem") != "convolutional" or not _positive(patch):
        return
    line = f"{name}.model.patch_size: {patch}, but {name}.model.stem 'convolutional' "
    if patch == 1 or patch & (patch - 1):
        yield line + "needs a power of two from 2 on: each of its convolutions halves the image"
    elif _positive(width) and width % (patch // 2):
        yield line + (
            f"needs {parts.where['d_model']} divisible by {patch // 2}, not {width}: the channels "
            "double with each convolution"
        )


def _masking(name: str, parts: _Parts) -> Iterator[str]:
    length = parts.data.get("sequence_length")
    for key in ("masking", "evaluation_masking"):
        masking = _section(parts.objective.get(key))
        fraction = masking.get("fraction")
        if masking.get("selection") != "exact" or not _positive(length):
            continue
        # At least one position is masked, which would be a larger fraction than requested.
        if isinstance(fraction, float) and 0 < fraction < 1 and round(fraction * length) == 0:
            yield (
                f"{name}.objective.{key}.fraction: {fraction} of {name}.data.sequence_length "
                f"{length} is less than half a token; use at least {0.5 / length:.2g}"
            )


def _batches(name: str, parts: _Parts) -> Iterator[str]:
    batch, shares = parts.train.get("batch_size"), parts.train.get("accumulate")
    if not _positive(batch, shares):
        return
    if batch % shares:
        yield (
            f"{name}.train.batch_size: {batch} is not divisible by "
            f"{name}.train.accumulate, {shares}"
        )
    length = parts.data.get("sequence_length")
    if _positive(length) and (tokens := batch // shares * length) > MAX_TOKENS:
        yield (
            f"{name}.train.batch_size: {batch // shares} sequences of {length} tokens at once are "
            f"{tokens:,} tokens, more than {MAX_TOKENS:,}; increase {name}.train.accumulate"
        )


def _schedule(name: str, parts: _Parts) -> Iterator[str]:
    warmup, steps = parts.train.get("warmup_steps"), parts.train.get("steps")
    if _positive(warmup, steps) and warmup > steps:
        yield (
            f"{name}.train.warmup_steps: {warmup}, but training has only {steps} steps: it would "
            "never reach the learning rate"
        )


CHECKS = (_architecture, _images, _stem, _masking, _batches, _schedule)


def _section(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _positive(*values: Any) -> bool:
    """Whether all are positive integers below 2**63."""
    return all(type(value) is int and 0 < value < 2**63 for value in values)
