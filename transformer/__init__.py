"""One Transformer, encoder and decoder: embed, blocks, norm, head.

It imports torch alone and knows nothing of files, tasks, DVC or MLflow. `transformer.weights`
imports models from other libraries and exports them.
"""

from transformer.build import bert, encoder_decoder, gpt, vit
from transformer.config import Architecture
from transformer.counts import flops_per_step, parameter_count
from transformer.model import Transformer

__all__ = [
    "Architecture",
    "Transformer",
    "bert",
    "encoder_decoder",
    "flops_per_step",
    "gpt",
    "parameter_count",
    "vit",
]
