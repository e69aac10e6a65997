"""The architecture: settings that all models share, and which patches an image can have."""

import operator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Bounds:
    """The limits of a number: greater than `gt`, at least `ge`, less than `lt`, at most `le`."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None


Probability = Annotated[float, Bounds(ge=0, lt=1)]


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

    The bounds are far above any real use.

    Raises:
        ValueError: a value is out of its bounds, or two do not fit each other; the message has the
            names of the fields in backticks.
    """

    n_layer: Annotated[int, Bounds(gt=0, le=256)]
    n_head: Annotated[int, Bounds(gt=0, le=1_024)]
    d_model: Annotated[int, Bounds(gt=0, le=2**16)]
    d_mlp: Annotated[int, Bounds(gt=0, le=2**18)]
    dropout: Probability = 0.0
    embedding_dropout: Probability = 0.0
    mlp_dropout: Probability = 0.0
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    norm_position: Literal["pre", "post"] = "pre"
    norm_eps: Annotated[float, Bounds(gt=0, le=1)] = 1e-5
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    mlp: Literal["plain", "gated"] = "plain"
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    rope_theta: Annotated[float, Bounds(gt=0, le=1e12)] = 10_000.0
    n_kv_head: Annotated[int, Bounds(ge=0, le=1_024)] = 0
    bias: bool = True
    layer_scale: Annotated[float, Bounds(ge=0, le=100)] = 0.0
    qk_norm: bool = False
    initialization: Literal["scaled_normal", "torch"] = "scaled_normal"

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            _check(name, getattr(self, name), hint)
        if self.d_model % self.n_head:
            raise ValueError(
                f"`d_model`: {self.d_model} is not divisible by `n_head`, {self.n_head}"
            )
        if self.n_kv_head and self.n_head % self.n_kv_head:
            raise ValueError(
                f"`n_head`: {self.n_head} is not divisible by `n_kv_head`, {self.n_kv_head}"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(
                f"`positions`: 'sinusoidal' needs an even `d_model`, not {self.d_model}"
            )
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(
                f"`positions`: 'rotary' needs heads of even width, not {self.d_head}, which is "
                f"`d_model` {self.d_model} / `n_head` {self.n_head}"
            )

    @property
    def d_head(self) -> int:
        """Width of a head."""
        return self.d_model // self.n_head


def check_patches(image_size: int, patch_size: int, stem: str, d_model: int) -> None:
    """Require that patches divide an image, and that a stem, a key of `stems.STEMS`, makes them.

    Raises:
        ValueError: they do not; the message has the names of the arguments in backticks.
    """
    if image_size % patch_size:
        raise ValueError(
            f"`image_size`: {image_size} is not divisible by `patch_size`, {patch_size}"
        )
    if stem == "convolutional":
        check_convolutions(patch_size, d_model)


def check_convolutions(patch_size: int, d_model: int) -> None:
    """The part of `check_patches` for a convolutional stem.

    Raises:
        ValueError: see there.
    """
    needs = f"`patch_size`: {patch_size}, but `stem` 'convolutional' needs"
    if patch_size < 2 or patch_size & (patch_size - 1):
        raise ValueError(
            f"{needs} a power of two from 2 on: each of its convolutions halves the image"
        )
    if d_model % (patch_size // 2):
        raise ValueError(
            f"{needs} `d_model` divisible by {patch_size // 2}, not {d_model}: the channels double "
            "with each convolution"
        )


_HINTS = get_type_hints(Architecture, include_extras=True)
_COMPARISONS = {
    "gt": ("greater than", operator.gt),
    "ge": ("at least", operator.ge),
    "lt": ("less than", operator.lt),
    "le": ("at most", operator.le),
}


def _check(name: str, value: Any, hint: Any) -> None:
    """Compare the value of a field with its `Bounds` or its `Literal`."""
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ValueError(f"`{name}`: {value!r} should be one of {', '.join(get_args(hint))}")
    for bounds in getattr(hint, "__metadata__", ()):
        for key, (words, holds) in _COMPARISONS.items():
            limit = getattr(bounds, key)
            if limit is not None and not holds(value, limit):
                raise ValueError(f"`{name}`: {value} should be {words} {limit}")
