"""The section of a model that pronounces words in params.yaml."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from pipeline.parameters.base import (
    Fraction,
    ModelKeys,
    ModelSection,
    Name,
    Probability,
    Section,
    Seed,
    StepTraining,
)


class GraphemeToPhonemeData(Section):
    """A pronouncing dictionary, and the shares of its words that are held out."""

    dictionary: Name
    validation_fraction: Fraction
    test_fraction: Fraction
    split_seed: Seed


class GraphemeToPhonemeObjective(Section):
    label_smoothing: Probability


class GraphemeToPhonemeModel(ModelKeys):
    n_decoder_layer: int = Field(ge=0, le=256)
    tie_embeddings: bool

    @property
    def decoder_layers(self) -> int:
        """The number of the decoder's blocks."""
        return self.n_decoder_layer or self.n_layer


class GraphemeToPhonemeSection(ModelSection):
    encoder: ClassVar = "pronunciations"
    source: ClassVar = "dictionary"

    data: GraphemeToPhonemeData
    objective: GraphemeToPhonemeObjective
    model: GraphemeToPhonemeModel
    train: StepTraining

    def inconsistencies(self) -> Iterator[str]:
        yield from super().inconsistencies()
        held_out = self.data.validation_fraction + self.data.test_fraction
        if held_out >= 1:
            yield (
                "`data.validation_fraction`: with `data.test_fraction` it is "
                f"{held_out:g} of the words, which leaves none for training"
            )


SECTION = GraphemeToPhonemeSection
