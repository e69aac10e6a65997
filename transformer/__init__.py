"""One Transformer, encoder and decoder: embed, blocks, norm, head.

Knows torch alone: no files, tasks, DVC or MLflow; but for `transformer.weights`, which reads and
writes other libraries' models.
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
