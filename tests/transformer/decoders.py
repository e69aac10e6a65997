"""Tiny decoders with random weights, in several architectures, for tests of generation."""

import torch

from transformer import Architecture, Transformer

SCALE = 0.7  # of the weights: far from uniform outputs
VARIANTS = {
    "learned": {},
    "sinusoidal": {"positions": "sinusoidal"},
    "rotary": {"positions": "rotary"},
    "grouped": {"positions": "rotary", "n_kv_head": 2, "mlp": "gated", "norm": "rmsnorm"},
    "qk_norm": {"qk_norm": True, "norm_position": "post"},
}


def decoder(build, variant: str, *arguments: int) -> Transformer:
    """build: `gpt` or `encoder_decoder`, with these arguments after the architecture."""
    torch.manual_seed(0)
    architecture = Architecture(2, 4, 16, 32, **VARIANTS[variant])
    # Not tied: with random weights, a tied head repeats the last token for ever.
    model = build(architecture, *arguments, tie_embeddings=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # not the norms, whose biases would decide the output
                parameter.copy_(torch.randn_like(parameter) * SCALE)
    return model
