"""What the sections of all models share: the architecture, the training, and rules between keys.

Bounds are far above any real use: they prevent a hang or a crash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from transformer.config import Architecture

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


def _bounded(hint: Any) -> Any:
    """The type of a field of `Architecture`, with its `Bounds` as pydantic reads them."""
    bounds = [Field(**vars(each)) for each in getattr(hint, "__metadata__", ())]
    return Annotated[hint, *bounds] if bounds else hint


ARCHITECTURE = [field.name for field in fields(Architecture)]


class ModelKeys(Section):
    """`model:` of a task without further keys: all fields of `Architecture`, all required."""

    if TYPE_CHECKING:
        n_layer: int
        d_model: int  # the others are read from `ModelSection.architecture`
    __annotations__ = {
        key: _bounded(hint)
        for key, hint in get_type_hints(Architecture, include_extras=True).items()
    }


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
    fully_shard: bool
    log_every: int = Field(gt=0, le=10**7)
    evaluate_every: int = Field(gt=0, le=10**7)
    checkpoint_every: int = Field(gt=0, le=10**7)

    def inconsistencies(self) -> Iterator[str]:
        """See `ModelSection.inconsistencies`."""
        if self.batch_size % self.accumulate:
            yield (
                f"`train.batch_size`: {self.batch_size} is not divisible by `train.accumulate`, "
                f"{self.accumulate}"
            )
        if self.fully_shard and self.compile:
            yield "`train.fully_shard` and `train.compile`: only one of them can be true"
        if self.fully_shard and self.accumulate & (self.accumulate - 1):
            yield (
                f"`train.accumulate`: {self.accumulate} is not a power of two, which "
                "`train.fully_shard` needs"
            )


class StepTraining(Training):
    """A training of a number of steps."""

    steps: int = Field(gt=0, le=10**7)

    def inconsistencies(self) -> Iterator[str]:
        """Also a warm-up that is longer than the training."""
        yield from super().inconsistencies()
        if self.warmup_steps > self.steps:
            yield (
                f"`train.warmup_steps`: {self.warmup_steps}, but training has only {self.steps} "
                "steps: it would never reach the learning rate"
            )


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

    @field_validator("random")
    @classmethod
    def _with_frequent(cls, random: int, given: ValidationInfo) -> int:
        if random == 0 and given.data.get("frequent"):
            raise ValueError("should be above 0, because `frequent` has no effect without it")
        return random


class ModelSection(Section):
    """The section of one model, with the shared values that it does not override.

    name: of the section. A task's class has `data`, `objective`, `model` and `train`.

    encoder: the module in `pipeline/data` that prepares its data. source: the key of `data` that
        names them.
    """

    encoder: ClassVar[str]
    source: ClassVar[str]

    name: str
    task: str
    data: Any
    objective: Any
    model: Any
    train: Training

    @cached_property
    def architecture(self) -> Architecture:
        """The keys of `model:` that any model has."""
        return Architecture(**{key: getattr(self.model, key) for key in ARCHITECTURE})

    def inconsistencies(self) -> Iterator[str]:
        """One line for each contradiction between keys that are valid alone.

        Keys are in backticks, by their paths in this section.
        """
        try:
            _ = self.architecture
        except ValueError as error:
            yield self.paths(error)
        yield from self.train.inconsistencies()

    def paths(self, error: ValueError) -> str:
        """An error of the library, with the paths of keys in place of its names of arguments."""

        def path(name: re.Match[str]) -> str:
            part = "data" if name[1] in type(self.data).model_fields else "model"
            return f"`{part}.{name[1]}`"

        return re.sub(r"`(\w+)`", path, str(error))
