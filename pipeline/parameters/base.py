"""What the sections of all models share: the architecture, the training, and rules between keys.

Bounds are far above any real use: they prevent a hang or a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# From a part of a model's section ("model", "train", ...) and a key to the path where it stands:
# in the model's own section, or in the shared one.
Where = Callable[[str, str], str]

Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _no_reference(name: str) -> str:
    if "${" in name:
        raise ValueError("'${' starts a reference for `dvc exp run -S`; rename the file or folder")
    return name


# A name in the registry of data, or a path.
Name = Annotated[str, Field(min_length=1), AfterValidator(_no_reference)]


class Section(BaseModel):
    """A section of params.yaml: every key is known, required and of its exact type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ArchitectureSection(Section):
    """The settings of `transformer.Architecture`: the shared ones, or a model's own."""

    n_layer: int = Field(gt=0, le=256)
    n_head: int = Field(gt=0, le=1_024)
    d_model: int = Field(gt=0, le=2**16)
    d_mlp: int = Field(gt=0, le=2**18)
    dropout: Probability
    embedding_dropout: Probability
    mlp_dropout: Probability
    norm: Literal["layernorm", "rmsnorm"]
    norm_position: Literal["pre", "post"]
    norm_eps: float = Field(gt=0, le=1.0)
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"]
    mlp: Literal["plain", "gated"]
    positions: Literal["learned", "sinusoidal", "rotary"]
    rope_theta: float = Field(gt=0, le=1e12)
    n_kv_head: int = Field(ge=0, le=1_024)
    bias: bool
    layer_scale: float = Field(ge=0, le=100)
    qk_norm: bool
    initialization: Literal["scaled_normal", "torch"]


class Training(Section):
    """The recipe of a training, without its length."""

    batch_size: int = Field(gt=0, le=10**6)
    accumulate: int = Field(gt=0, le=10**6)
    optimizer: Literal["adam", "adamw", "muon"]
    lr: float = Field(gt=0, le=1e30)
    matrix_lr: float = Field(gt=0, le=1e30)
    weight_decay: float = Field(ge=0, le=1000)
    betas: Annotated[list[Probability], Field(min_length=2, max_length=2)]
    schedule: Literal["constant", "linear", "cosine"]
    warmup_steps: int = Field(ge=0, le=10**7)
    decay_fraction: float = Field(ge=0, le=1)
    clip_norm: float = Field(ge=0, le=10**6)
    precision: Literal["fp32", "bf16"]
    compile: bool
    log_every: int = Field(gt=0, le=10**7)
    evaluate_every: int = Field(gt=0, le=10**7)
    checkpoint_every: int = Field(gt=0, le=10**7)


class StepTraining(Training):
    """A training of a number of steps."""

    steps: int = Field(gt=0, le=10**7)


class EpochTraining(Training):
    """A training of a number of epochs; its intervals are epochs, too."""

    epochs: int = Field(gt=0, le=10**6)


class TextData(Section):
    """A text, its tokens, and the part of it that is held out."""

    text: Name
    tokenizer: Literal["word", "whitespace", "char", "wordpiece"]
    sequence_length: int = Field(ge=2, le=2**17)
    validation_fraction: float = Field(ge=0, lt=1)


class SampledSoftmax(Section):
    """Which tokens the softmax runs over in training, besides the labels; random 0: all tokens."""

    frequent: int = Field(ge=0, le=10**7)
    random: int = Field(ge=0, le=10**7)


class ModelSection(Section):
    """The section of one model, with the shared values that it does not override.

    name: of the section. architecture: the keys of `model:` that any model has.

    A task's class has `data`, `objective`, `model` (the other keys of `model:`) and `train`.

    encoder: the module in `pipeline/data` that prepares its data. source: the key of `data` that
        names them.
    """

    encoder: ClassVar[str]
    source: ClassVar[str]

    name: str
    task: str
    architecture: ArchitectureSection
    data: Any
    objective: Any
    model: Any
    train: Training

    def inconsistencies(self, where: Where) -> Iterator[str]:
        """One line for each contradiction between keys that are valid alone."""
        yield from _architecture(self.architecture, where, self.name)
        batch, parts = self.train.batch_size, self.train.accumulate
        if batch % parts:
            yield (
                f"{where('train', 'batch_size')}: {batch} is not divisible by "
                f"{where('train', 'accumulate')}, {parts}"
            )


def _architecture(a: ArchitectureSection, where: Where, name: str) -> Iterator[str]:
    path = {key: where("model", key) for key in type(a).model_fields}
    if a.d_model % a.n_head:
        yield (
            f"{path['d_model']}: {a.d_model} is not divisible by {path['n_head']}, {a.n_head} "
            f"heads (for {name})"
        )
    elif a.positions == "rotary" and a.d_model // a.n_head % 2:
        yield (
            f"{path['n_head']}: rotary positions need heads of even width, not "
            f"{a.d_model // a.n_head} (for {name})"
        )
    if a.positions == "sinusoidal" and a.d_model % 2:
        yield f"{path['d_model']}: sinusoidal positions need an even width (for {name})"
    if a.n_kv_head and a.n_head % a.n_kv_head:
        yield (
            f"{path['n_head']}: {a.n_head} is not divisible by {path['n_kv_head']}, {a.n_kv_head} "
            f"heads of keys and values (for {name})"
        )


def step_inconsistencies(train: StepTraining, where: Where) -> Iterator[str]:
    """One line if the warm-up is longer than the training."""
    if train.warmup_steps > train.steps:
        yield (
            f"{where('train', 'warmup_steps')}: {train.warmup_steps}, but training has only "
            f"{train.steps} steps: it would never reach the learning rate"
        )
