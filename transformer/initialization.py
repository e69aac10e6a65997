"""Initial weights, drawn from a generator of their own."""

import math

from torch import Generator, nn

from transformer.model import Transformer

STD = 0.02  # of BERT, GPT-2 and ViT


def initialize(model: Transformer, generator: Generator | None = None) -> None:
    """Normal weights of standard deviation 0.02, zero biases, and the projections of the
    blocks that write to the residual stream scaled by 1 / sqrt(their number), 2 n_layer, so that
    the stream's variance does not grow with depth (Radford et al. 2019, section 2.3).

    Norms start as the identity (torch's own default).
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
            nn.init.normal_(module.weight, std=STD, generator=generator)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
    for part in model.modules():  # the model itself, and its encoder where it has one
        if isinstance(part, Transformer):
            projections = [p for block in part.blocks for p in block.residual_projections()]
            residual_std = STD / math.sqrt(len(projections))
            for projection in projections:
                nn.init.normal_(projection.weight, std=residual_std, generator=generator)
