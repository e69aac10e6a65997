"""The types of params.yaml: a file for each task, with what its section may say.

This package imports no torch, so that errors in params.yaml appear at once. SECTIONS is the one
list of tasks; `pipeline/tasks` and `pipeline/views` have a file of the same name for each.
"""

from pipeline.parameters.base import ModelSection
from pipeline.parameters.causal_lm import CausalLMSection
from pipeline.parameters.grapheme_to_phoneme import GraphemeToPhonemeSection
from pipeline.parameters.image_classification import ImageClassificationSection
from pipeline.parameters.masked_lm import MaskedLMSection

SECTIONS: dict[str, type[ModelSection]] = {
    "masked_lm": MaskedLMSection,
    "causal_lm": CausalLMSection,
    "image_classification": ImageClassificationSection,
    "grapheme_to_phoneme": GraphemeToPhonemeSection,
}
