"""The section of a masked language model in params.yaml."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pipeline.parameters.base import (
    Fraction,
    ModelKeys,
    ModelSection,
    SampledSoftmax,
    Section,
    StepTraining,
    TextData,
)


class MaskedLMData(TextData):
    """examples: where they begin."""

    examples: Literal["anywhere", "lines"]


class Masking(Section):
    """Which tokens are masked, and what replaces them."""

    fraction: Fraction
    selection: Literal["exact", "independent"]
    replacement: Literal["mask", "mixed"]


class MaskedLMObjective(Section):
    masking: Masking
    evaluation_masking: Masking
    sampled_softmax: SampledSoftmax


class MaskedLMModel(ModelKeys):
    tie_embeddings: bool
    prediction_transform: bool
    head_bias: bool


class MaskedLMSection(ModelSection):
    encoder: ClassVar = "text"
    source: ClassVar = "text"

    data: MaskedLMData
    objective: MaskedLMObjective
    model: MaskedLMModel
    train: StepTraining

    def inconsistencies(self) -> Iterator[str]:
        yield from super().inconsistencies()
        length = self.data.sequence_length
        for key in ("masking", "evaluation_masking"):
            masking: Masking = getattr(self.objective, key)
            # At least one position is masked, which would be a larger fraction than requested.
            if masking.selection == "exact" and round(masking.fraction * length) == 0:
                yield (
                    f"`objective.{key}.fraction`: {masking.fraction} of `data.sequence_length` "
                    f"{length} is less than half a token; use at least {0.5 / length:.2g}"
                )


SECTION = MaskedLMSection
