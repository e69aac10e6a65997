"""One Transformer, encoder and decoder: embed, blocks, norm, head.

It imports torch alone and knows nothing of tasks, DVC or MLflow. `transformer.weights` imports
models from other libraries and exports them; only for files of Hugging Face it needs safetensors.
"""

from transformer.beam import Hypothesis, beam_search
from transformer.build import bert, encoder_decoder, gpt, vit
from transformer.config import Architecture
from transformer.counts import flops_per_step, parameter_count
from transformer.generation import Sampling, generate, padded, stream
from transformer.model import Transformer
from transformer.saving import load, save

__all__ = [
    "Architecture",
    "Hypothesis",
    "Sampling",
    "Transformer",
    "beam_search",
    "bert",
    "encoder_decoder",
    "flops_per_step",
    "generate",
    "gpt",
    "load",
    "padded",
    "parameter_count",
    "save",
    "stream",
    "vit",
]
