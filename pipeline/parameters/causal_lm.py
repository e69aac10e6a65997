"""The section of a language model that predicts the next token in params.yaml."""

from typing import ClassVar, Literal

from pipeline.parameters.base import (
    Fraction,
    ModelKeys,
    ModelSection,
    Probability,
    SampledSoftmax,
    Section,
    StepTraining,
    TextData,
)


class CausalLMData(TextData):
    validation_fraction: Fraction


class CausalLMObjective(Section):
    sampled_softmax: SampledSoftmax
    label_smoothing: Probability
    smooth_towards: Literal["uniform", "unigram"]


class CausalLMModel(ModelKeys):
    tie_embeddings: bool


class CausalLMSection(ModelSection):
    encoder: ClassVar = "text"
    source: ClassVar = "text"

    data: CausalLMData
    objective: CausalLMObjective
    model: CausalLMModel
    train: StepTraining


SECTION = CausalLMSection
