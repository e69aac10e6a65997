"""Initial weights, drawn from their own random generator."""

import math

from torch import Generator, nn

from transformer.embeddings import PatchEmbedding
from transformer.model import Transformer
from transformer.stems import ConvolutionalStem

STD = 0.02  # of BERT, GPT-2 and ViT


def scaled_normal(model: Transformer, generator: Generator | None = None) -> None:
    """Normal weights of standard deviation 0.02 and zero biases. The projections that write to the
    residual stream are scaled by 1 / sqrt(N), N being their number (2 n_layer without
    cross-attention), so that the variance does not grow with depth (Radford et al. 2019, section
    2.3). Norms keep torch's default, the identity. In a convolutional stem the layers that ReLU
    follows have variance 2 / inputs, which keeps the variance of activations (He et al. 2015,
    "Delving Deep into Rectifiers", section 2.2).
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
            nn.init.normal_(module.weight, std=STD, generator=generator)
            bias = getattr(module, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)
    for part in model.modules():
        if isinstance(part, ConvolutionalStem):
            for layer in part.convolutions:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        if isinstance(part, Transformer):  # the model itself, and its encoder where it has one
            projections = [p for block in part.blocks for p in block.residual_projections()]
            residual_std = STD / math.sqrt(len(projections))
            for projection in projections:
                nn.init.normal_(projection.weight, std=residual_std, generator=generator)


def torch_default(model: Transformer, generator: Generator | None = None) -> None:
    """The default of torch's modules: embeddings and the class token standard normal, matrices and
    biases uniform in +-1 / sqrt(inputs).

    The embeddings then dominate the residual stream: with a tied decoder the first loss is far
    above that of a uniform prediction.
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
    """Initialize all weights with the scheme `name`, a key of INITIALIZATIONS."""
    INITIALIZATIONS[name](model, generator)
