"""params.yaml as types: read once, checked whole, passed whole.

Nothing here imports torch: a mistake in params.yaml is told in well under two seconds.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from pipeline import MODELS
from pipeline.errors import ParamsError
from pipeline.paths import PARAMS

Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A section of params.yaml: every key is known, required and of its exact type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelParams(Section):
    """The architecture that all three models share."""

    n_layer: PositiveInt
    n_head: PositiveInt
    d_model: PositiveInt
    d_mlp: PositiveInt
    dropout: Probability
    norm: Literal["layernorm", "rmsnorm"]
    norm_position: Literal["pre", "post"]
    norm_eps: PositiveFloat
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"]
    mlp: Literal["plain", "gated"]
    positions: Literal["learned", "sinusoidal", "rotary"]
    rope_theta: PositiveFloat
    n_kv_head: NonNegativeInt
    bias: bool
    layer_scale: NonNegativeFloat
    qk_norm: bool


def _overrides() -> type[Section]:
    """ModelParams with every key optional, so that a model's section names only what differs."""
    optional = {
        key: (Annotated[(field.annotation, Field(), *field.metadata)] | None, None)
        for key, field in ModelParams.model_fields.items()
    }
    return create_model("ModelOverrides", __base__=Section, **optional)


ModelOverrides = _overrides()


class LanguageModelOverrides(ModelOverrides):
    tie_embeddings: bool


class MaskedLanguageModelOverrides(LanguageModelOverrides):
    prediction_transform: bool


class VitModelOverrides(ModelOverrides):
    patch_size: PositiveInt
    pooling: Literal["cls", "mean"]


class TextData(Section):
    text: Annotated[str, Field(min_length=1)]
    tokenizer: Literal["word", "char", "wordpiece"]
    sequence_length: Annotated[int, Field(ge=2)]
    validation_fraction: Fraction


class ImageData(Section):
    images: Annotated[str, Field(min_length=1)]
    image_size: PositiveInt
    test_fraction: Fraction


class MaskedLanguageModelling(Section):
    mask_fraction: Fraction
    evaluation_mask_fraction: Fraction


class NextTokenPrediction(Section):
    label_smoothing: Probability
    smooth_towards: Literal["uniform", "unigram"]


class Classification(Section):
    label_smoothing: Probability
    augmentation: Literal["none", "digits", "photos"]


class Training(Section):
    batch_size: PositiveInt
    accumulate: PositiveInt
    optimizer: Literal["adam", "adamw", "muon"]
    lr: PositiveFloat
    matrix_lr: PositiveFloat
    weight_decay: NonNegativeFloat
    betas: Annotated[list[Probability], Field(min_length=2, max_length=2)]
    schedule: Literal["constant", "linear", "cosine"]
    warmup_steps: NonNegativeInt
    decay_fraction: Annotated[float, Field(ge=0, le=1)]
    clip_norm: NonNegativeFloat
    precision: Literal["fp32", "bf16"]
    compile: bool
    log_every: PositiveInt
    evaluate_every: PositiveInt
    checkpoint_every: PositiveInt


class StepTraining(Training):
    steps: PositiveInt


class EpochTraining(Training):
    epochs: PositiveInt


class Bert(Section):
    data: TextData
    objective: MaskedLanguageModelling
    model: MaskedLanguageModelOverrides
    train: StepTraining


class Gpt(Section):
    data: TextData
    objective: NextTokenPrediction
    model: LanguageModelOverrides
    train: StepTraining


class Vit(Section):
    data: ImageData
    objective: Classification
    model: VitModelOverrides
    train: EpochTraining


class Params(Section):
    """The whole of params.yaml."""

    profile: Annotated[str, Field(min_length=1)]
    seed: NonNegativeInt
    threads: PositiveInt
    device: Literal["auto", "cpu", "cuda"]
    model: ModelParams
    bert: Bert
    gpt: Gpt
    vit: Vit

    def section(self, name: str) -> Bert | Gpt | Vit:
        """The section of one model, by its name."""
        return getattr(self, name)

    def architecture(self, name: str) -> ModelParams:
        """The shared architecture with the overrides of the model `name` applied."""
        overrides = self.section(name).model.model_dump(
            exclude_none=True, include=set(ModelParams.model_fields)
        )
        return self.model.model_copy(update=overrides)


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing, is not YAML, or has errors; all of them are listed.
    """
    try:
        # YAML 1.2: `1e-05` is a number and `no` a string, as DVC reads them too.
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ParamsError(f"{path}{where}: {error.problem or error.context}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: expected a mapping of sections at the top, found {_kind(raw)}")
    return validate(raw, path)


def validate(raw: dict[str, Any], path: Path = PARAMS) -> Params:
    """Check the parsed content of params.yaml as a whole; see `load`."""
    errors: list[str] = []
    params = None
    try:
        params = Params.model_validate(raw)
    except ValidationError as failure:
        errors += [_describe(error, raw) for error in failure.errors()]
    errors += _inconsistencies(raw)
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise ParamsError("\n".join([f"{path}: {count}", *(f"  {e}" for e in errors)]))
    assert params is not None
    return params


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level, with dots in the keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"


def _describe(error: dict[str, Any], raw: dict[str, Any]) -> str:
    """One of pydantic's errors as a line: path, what is wrong, what would be right."""
    location = error["loc"]
    path = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{path}: missing"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{path}: {message.replace('input ', '')}, found {_kind(error['input'])}"


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    section: Any = Params
    for key in location:
        section = section.model_fields[key].annotation
    return list(section.model_fields)


def _inconsistencies(raw: dict[str, Any]) -> list[str]:
    """Errors between keys. Looks at raw values, so that they are told along with all others."""
    errors = []
    for name in MODELS:
        section = raw.get(name) if isinstance(raw.get(name), dict) else {}
        shared, own, data, train = (
            part if isinstance(part, dict) else {}
            for part in (raw.get("model"), *map(section.get, ("model", "data", "train")))
        )
        model = shared | {key: value for key, value in own.items() if value is not None}
        where = {key: f"{name}.model.{key}" if own.get(key) else f"model.{key}" for key in model}
        width, heads = model.get("d_model"), model.get("n_head")
        if _positive(width, heads) and width % heads:
            line = (
                f"{where['d_model']}: {width} is not divisible by "
                f"{where['n_head']}, {heads} heads (for {name})"
            )
            errors.append(line)
        if _positive(width) and model.get("positions") == "sinusoidal" and width % 2:
            line = f"{where['d_model']}: sinusoidal positions need an even width (for {name})"
            errors.append(line)
        rotary = _positive(width, heads) and model.get("positions") == "rotary"
        if rotary and width % heads == 0 and width // heads % 2:
            line = f"{where['n_head']}: rotary positions need heads of even width, not "
            errors.append(line + f"{width // heads} (for {name})")
        groups = model.get("n_kv_head")
        if _positive(heads, groups) and heads % groups:
            line = f"{where['n_head']}: {heads} is not divisible by {where['n_kv_head']}, {groups}"
            errors.append(line + f" heads of keys and values (for {name})")
        size, patch = data.get("image_size"), model.get("patch_size")
        if _positive(size, patch) and size % patch:
            line = f"{name}.data.image_size: {size} is not divisible by "
            errors.append(line + f"{name}.model.patch_size, {patch}")
        batch, parts = train.get("batch_size"), train.get("accumulate")
        if _positive(batch, parts) and batch % parts:
            line = f"{name}.train.batch_size: {batch} is not divisible by "
            errors.append(line + f"{name}.train.accumulate, {parts}")
    return errors


def _positive(*values: Any) -> bool:
    return all(type(value) is int and value > 0 for value in values)
