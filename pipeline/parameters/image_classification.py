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
from transformer.config import check_patches


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
        size, model = self.data.image_size, self.model
        try:
            check_patches(size, model.patch_size, model.stem, model.d_model)
        except ValueError as error:
            yield self.paths(error)


SECTION = ImageClassificationSection
