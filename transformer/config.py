"""The architecture: settings that BERT, GPT and ViT share."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Architecture:
    """The body of a Transformer.

    n_layer: number of blocks.
    n_head: attention heads in each block; must divide d_model.
    d_model: width of the residual stream.
    d_mlp: width of the hidden layer of a block's MLP.
    dropout: probability, on attention weights and both residual branches.
    embedding_dropout: probability, on the sum of token or patch vectors and positions.
    mlp_dropout: probability, on the hidden layer of a block's MLP (not in Vaswani et al. 2017, but
        in "The Annotated Transformer" and in torch.nn.Transformer).
    norm: LayerNorm, or RMSNorm (Zhang and Sennrich 2019), which has no means and biases.
    norm_position: before each sublayer ("pre", GPT-2 and ViT) or after the residual sum ("post",
        the 2017 paper and BERT).
    norm_eps: added to the variance.
    activation: of the MLP; "gelu_tanh" is GPT-2's approximation, "silu" is Llama's.
    mlp: "plain", or "gated" by a second product (Llama's SwiGLU with the activation "silu").
    positions: a learned table, the fixed sinusoids of the 2017 paper, or rotary.
    rope_theta: base of the rotary frequencies.
    n_kv_head: heads of keys and values, shared by groups of query heads; must divide n_head; 0
        means n_head.
    bias: whether the blocks' matrices and the LayerNorms have a bias.
    layer_scale: initial value of the learned factors on residual branches; 0 for none.
    initialization: of the weights, see `initialization.py`: "scaled_normal" as in GPT-2, or
        "torch", the default of torch's modules.
    qk_norm: RMS-normalise queries and keys in each head (Henry et al. 2020, "Query-Key
        Normalization for Transformers"); keeps attention logits bounded at high learning rates.
    """

    n_layer: int
    n_head: int
    d_model: int
    d_mlp: int
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    mlp_dropout: float = 0.0
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    norm_position: Literal["pre", "post"] = "pre"
    norm_eps: float = 1e-5
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    mlp: Literal["plain", "gated"] = "plain"
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    rope_theta: float = 10_000.0
    n_kv_head: int = 0
    bias: bool = True
    layer_scale: float = 0.0
    qk_norm: bool = False
    initialization: Literal["scaled_normal", "torch"] = "scaled_normal"

    def __post_init__(self) -> None:
        if self.d_model % self.n_head:
            raise ValueError(f"d_model {self.d_model} is not divisible by n_head {self.n_head}")
        if self.n_kv_head and self.n_head % self.n_kv_head:
            raise ValueError(f"n_head {self.n_head} is not divisible by n_kv_head {self.n_kv_head}")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, not {self.d_model}")
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"rotary positions need heads of even width, not {self.d_head}")

    @property
    def d_head(self) -> int:
        """Width of a head."""
        return self.d_model // self.n_head
