"""The section of a language model that predicts the next token in params.yaml."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pipeline.parameters.base import (
    Fraction,
    ModelSection,
    Probability,
    SampledSoftmax,
    Section,
    StepTraining,
    TextData,
    Where,
    step_inconsistencies,
)


class CausalLMData(TextData):
    validation_fraction: Fraction


class CausalLMObjective(Section):
    sampled_softmax: SampledSoftmax
    label_smoothing: Probability
    smooth_towards: Literal["uniform", "unigram"]


class CausalLMModel(Section):
    tie_embeddings: bool


class CausalLMSection(ModelSection):
    encoder: ClassVar = "text"
    source: ClassVar = "text"

    data: CausalLMData
    objective: CausalLMObjective
    model: CausalLMModel
    train: StepTraining

    def inconsistencies(self, where: Where) -> Iterator[str]:
        yield from super().inconsistencies(where)
        yield from step_inconsistencies(self.train, where)
