"""The section of an image classifier in params.yaml."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pipeline.parameters.base import (
    EpochTraining,
    Fraction,
    ModelKeys,
    ModelSection,
    Name,
    Probability,
    Section,
    Seed,
)


def _drawable(concentration: float) -> float:
    if 0 < concentration < 0.01:
        raise ValueError(
            "should be 0, which is off, or at least 0.01: below, numbers drawn from "
            "the Beta distribution underflow"
        )
    return concentration


# Both parameters of a symmetric Beta distribution.
Concentration = Annotated[float, Field(ge=0, le=1000), AfterValidator(_drawable)]


class ImageData(Section):
    images: Name
    image_size: int = Field(gt=0, le=4_096)
    test_fraction: Fraction
    split_seed: Seed
    normalization: Literal["dataset", "none"]


class ImageClassificationObjective(Section):
    label_smoothing: Probability
    augmentation: Literal["none", "digits", "photos"]
    mixup: Concentration
    cutmix: Concentration


class ImageClassificationModel(ModelKeys):
    patch_size: int = Field(gt=0, le=4_096)
    pooling: Literal["cls", "mean"]
    head_bias: bool
    stem: Literal["linear", "convolutional"]


class ImageClassificationSection(ModelSection):
    encoder: ClassVar = "images"
    source: ClassVar = "images"

    data: ImageData
    objective: ImageClassificationObjective
    model: ImageClassificationModel
    train: EpochTraining

    def inconsistencies(self) -> Iterator[str]:
        yield from super().inconsistencies()
        size, patch = self.data.image_size, self.model.patch_size
        if size % patch:
            yield f"`data.image_size`: {size} is not divisible by `model.patch_size`, {patch}"
        if self.model.stem != "convolutional":
            return
        line = f"`model.patch_size`: {patch}, but `model.stem` 'convolutional' needs "
        width = self.model.d_model
        if patch == 1 or patch & (patch - 1):
            yield line + "a power of two from 2 on: each of its convolutions halves the image"
        elif width % (patch // 2):
            yield line + (
                f"`model.d_model` divisible by {patch // 2}, not {width}: the channels double with "
                "each convolution"
            )


SECTION = ImageClassificationSection
