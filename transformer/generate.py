"""Text from a causal Transformer, token by token."""

import torch
from torch import Generator, Tensor

from transformer.model import Transformer


@torch.inference_mode()
def generate(
    model: Transformer,
    prompt: Tensor,
    count: int,
    context: int,
    temperature: float = 1.0,
    generator: Generator | None = None,
) -> Tensor:
    """`prompt` with `count` sampled tokens behind it.

    prompt: (B, T) tokens, T > 0.
    context: tokens that the model sees at most: the last ones.
    temperature: divides the logits; 0 takes the likeliest token each time.
    generator: on the CPU, so that every device draws the same.
    Returns (B, T + count).
    """
    tokens = prompt
    for _ in range(count):
        logits = model(tokens[:, -context:])[:, -1].float()
        if temperature == 0:
            following = logits.argmax(-1, keepdim=True)
        else:
            chances = (logits / temperature).softmax(-1).cpu()
            following = torch.multinomial(chances, 1, generator=generator).to(tokens.device)
        tokens = torch.cat((tokens, following), dim=1)
    return tokens
