"""Initial weights, drawn from a generator of their own."""

import math

from torch import Generator, nn

from transformer.embeddings import PatchEmbedding
from transformer.model import Transformer

STD = 0.02  # of BERT, GPT-2 and ViT


def scaled_normal(model: Transformer, generator: Generator | None = None) -> None:
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


def torch_default(model: Transformer, generator: Generator | None = None) -> None:
    """What torch's modules draw when they are made: tables standard normal, matrices and biases
    uniform in +-1 / sqrt(inputs); the class token standard normal, as `torch.randn` makes it.

    The tables then dominate the residual stream: with a tied decoder the first loss is far above
    that of equal chances.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        elif isinstance(module, PatchEmbedding) and module.class_token is not None:
            nn.init.normal_(module.class_token, generator=generator)


INITIALIZATIONS = {"scaled_normal": scaled_normal, "torch": torch_default}


def initialize(model: Transformer, name: str, generator: Generator | None = None) -> None:
    """Draw all weights anew by the scheme `name`, a key of INITIALIZATIONS."""
    INITIALIZATIONS[name](model, generator)
