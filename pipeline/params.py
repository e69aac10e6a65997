"""params.yaml as typed sections: read and checked once, then passed as one object.

This module does not import torch, so that errors in params.yaml appear within two seconds.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticCustomError

from pipeline import profiles, yaml_file
from pipeline.consistency import inconsistencies
from pipeline.errors import ParamsError, UserError
from pipeline.paths import PARAMS
from pipeline.yaml_file import flatten


def _up_to(most: float) -> Any:
    """A positive number; the bound is far above any real use, but prevents a hang or a crash."""
    return Annotated[type(most), Field(gt=0, le=most)]


Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _drawable(concentration: float) -> float:
    if 0 < concentration < 0.01:
        raise ValueError(
            "should be 0, which is off, or at least 0.01: below, numbers drawn from "
            "the Beta distribution underflow"
        )
    return concentration


# Both parameters of a symmetric Beta distribution.
Concentration = Annotated[float, Field(ge=0, le=1000), AfterValidator(_drawable)]


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is listed twice, which would train the same model twice")
    return seeds


def _no_reference(name: str) -> str:
    if "${" in name:
        raise ValueError("'${' starts a reference for `dvc exp run -S`; rename the file or folder")
    return name


Name = Annotated[str, Field(min_length=1), AfterValidator(_no_reference)]


class Section(BaseModel):
    """A section of params.yaml: every key is known, required and of its exact type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelParams(Section):
    """The architecture that all three models share."""

    n_layer: _up_to(256)
    n_head: _up_to(1_024)
    d_model: _up_to(2**16)
    d_mlp: _up_to(2**18)
    dropout: Probability
    embedding_dropout: Probability
    mlp_dropout: Probability
    norm: Literal["layernorm", "rmsnorm"]
    norm_position: Literal["pre", "post"]
    norm_eps: _up_to(1.0)
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"]
    mlp: Literal["plain", "gated"]
    positions: Literal["learned", "sinusoidal", "rotary"]
    rope_theta: _up_to(1e12)
    n_kv_head: Annotated[int, Field(ge=0, le=1_024)]
    bias: bool
    layer_scale: Annotated[float, Field(ge=0, le=100)]
    qk_norm: bool
    initialization: Literal["scaled_normal", "torch"]


def _given(value: Any) -> Any:
    if value is None:
        advice = "leave the key out to override nothing"
        raise PydanticCustomError("blank", f"input should have a value; {advice}")
    return value


def _overrides() -> type[Section]:
    """ModelParams with optional keys, so that a model's section has only its differences.

    A key needs a value: a blank one would silently mean the shared value.
    """
    optional = {
        key: (
            Annotated[
                Annotated[(field.annotation, Field(), *field.metadata)] | None,
                BeforeValidator(_given),
            ],
            None,
        )
        for key, field in ModelParams.model_fields.items()
    }
    return create_model("ModelOverrides", __base__=Section, **optional)


ModelOverrides = _overrides()


class LanguageModelOverrides(ModelOverrides):
    tie_embeddings: bool


class MaskedLanguageModelOverrides(LanguageModelOverrides):
    prediction_transform: bool
    head_bias: bool


class VitModelOverrides(ModelOverrides):
    patch_size: _up_to(4_096)
    pooling: Literal["cls", "mean"]
    head_bias: bool
    stem: Literal["linear", "convolutional"]


class TextData(Section):
    text: Name
    tokenizer: Literal["word", "whitespace", "char", "wordpiece"]
    sequence_length: Annotated[int, Field(ge=2, le=2**17)]
    validation_fraction: Fraction


class MaskedTextData(TextData):
    validation_fraction: Annotated[float, Field(ge=0, lt=1)]
    examples: Literal["anywhere", "lines"]


class ImageData(Section):
    images: Name
    image_size: _up_to(4_096)
    test_fraction: Fraction
    split_seed: Seed
    normalization: Literal["dataset", "none"]


class Masking(Section):
    """Which tokens are masked, and what replaces them."""

    fraction: Fraction
    selection: Literal["exact", "independent"]
    replacement: Literal["mask", "mixed"]


class SampledSoftmax(Section):
    """Which tokens the softmax runs over in training, besides the labels; random 0: all tokens."""

    frequent: Annotated[int, Field(ge=0, le=10**7)]
    random: Annotated[int, Field(ge=0, le=10**7)]


class MaskedLanguageModelling(Section):
    masking: Masking
    evaluation_masking: Masking
    sampled_softmax: SampledSoftmax


class NextTokenPrediction(Section):
    sampled_softmax: SampledSoftmax
    label_smoothing: Probability
    smooth_towards: Literal["uniform", "unigram"]


class Classification(Section):
    label_smoothing: Probability
    augmentation: Literal["none", "digits", "photos"]
    mixup: Concentration
    cutmix: Concentration


class Training(Section):
    batch_size: _up_to(10**6)
    accumulate: _up_to(10**6)
    optimizer: Literal["adam", "adamw", "muon"]
    lr: _up_to(1e30)
    matrix_lr: _up_to(1e30)
    weight_decay: Annotated[float, Field(ge=0, le=1000)]
    betas: Annotated[list[Probability], Field(min_length=2, max_length=2)]
    schedule: Literal["constant", "linear", "cosine"]
    warmup_steps: Annotated[int, Field(ge=0, le=10**7)]
    decay_fraction: Annotated[float, Field(ge=0, le=1)]
    clip_norm: Annotated[float, Field(ge=0, le=10**6)]
    precision: Literal["fp32", "bf16"]
    compile: bool
    log_every: _up_to(10**7)
    evaluate_every: _up_to(10**7)
    checkpoint_every: _up_to(10**7)


class StepTraining(Training):
    steps: _up_to(10**7)


class EpochTraining(Training):
    epochs: _up_to(10**6)


class Bert(Section):
    data: MaskedTextData
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

    profile: Annotated[str, Field(pattern=profiles.NAME)]
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1_000), AfterValidator(_distinct)]
    threads: _up_to(1_024)
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

    def deciding(self, name: str, seed: int) -> dict[str, Any]:
        """All parameters that determine one training of the model `name`, by their paths in
        `dvc exp show` and `-S`. Leaves out shared keys that the model's own section overrides.

        seed: of this training, as in `-S 'seeds=[<seed>]'`.
        """
        own = self.section(name).model_dump(exclude_none=True)
        shared = self.model.model_dump(exclude=set(own["model"]))
        everywhere = {"seeds": [seed], "threads": self.threads, "device": self.device}
        return flatten(everywhere | {"model": shared, name: own})


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml, also against its profile.

    Raises:
        ParamsError: the file is missing, is not YAML, or has errors; the message lists all.
    """
    try:
        raw = yaml_file.read(path)
        if not isinstance(raw, dict):
            found = _kind(raw)
            raise UserError(f"{path}: expected a mapping of sections at the top, found {found}")
        misnamed = profiles.disagreements(flatten(raw), path.parent / profiles.FOLDER)
    except UserError as error:
        raise ParamsError(str(error)) from None
    return validate(raw, path, misnamed)


def validate(raw: dict[str, Any], path: Path = PARAMS, more: Sequence[str] = ()) -> Params:
    """Check the parsed content of params.yaml; see `load`. more: errors found before."""
    errors = list(more)
    params = None
    try:
        params = Params.model_validate(raw)
    except ValidationError as failure:
        errors += [_describe(error, raw) for error in failure.errors()]
    errors += inconsistencies(raw)
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise ParamsError("\n".join([f"{path}: {count}", *(f"  {e}" for e in errors)]))
    assert params is not None
    return params


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 100, 100


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"an integer of {value.bit_length()} bits"
    # Shortened: a value may be long, or through aliases far larger than the file.
    return f"{type(value).__name__} {_SHORT.repr(value)}"


def _describe(error: dict[str, Any], raw: dict[str, Any]) -> str:
    """A pydantic error as one line: path, what is wrong, what is expected."""
    location = error["loc"]
    names = map(str, location)
    path = ".".join(name if name.isprintable() else repr(name) for name in names)
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{path}: missing"
    message = error["msg"][0].lower() + error["msg"][1:]
    for word in ("input ", " after validation"):
        message = message.replace(word, "")
    return f"{path}: {message}, found {_kind(error['input'])}"


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    section: Any = Params
    for key in location:
        section = section.model_fields[key].annotation
    return list(section.model_fields)
