"""What to build: the numbers and choices that BERT, GPT and ViT share."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Architecture:
    """The body of a Transformer.

    n_layer: blocks.
    n_head: attention heads a block; must divide d_model.
    d_model: width of the residual stream.
    d_mlp: width of the hidden layer of a block's MLP.
    dropout: probability, on embeddings, attention weights and both residual branches.
    norm: LayerNorm before each sublayer ("pre", GPT-2 and ViT) or after the residual sum
        ("post", the 2017 paper and BERT).
    activation: of the MLP; "gelu_tanh" is GPT-2's approximation.
    positions: learned table, or the fixed sinusoids of the 2017 paper.
    qk_norm: RMS-normalise queries and keys per head (Henry et al. 2020, "Query-Key
        Normalization for Transformers"); keeps attention logits bounded at high learning rates.
    """

    n_layer: int
    n_head: int
    d_model: int
    d_mlp: int
    dropout: float = 0.0
    norm: Literal["pre", "post"] = "pre"
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    positions: Literal["learned", "sinusoidal"] = "learned"
    qk_norm: bool = False

    def __post_init__(self) -> None:
        if self.d_model % self.n_head:
            raise ValueError(f"d_model {self.d_model} is not divisible by n_head {self.n_head}")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, not {self.d_model}")
