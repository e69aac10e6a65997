"""Checks that a family of transformers supports all parts of a model; names those it does not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from transformer.attention import Attention, StackedLinear
from transformer.layers import MLP, Block, GatedMLP, PostNormBlock
from transformer.model import Transformer
from transformer.patterns import AttentionPattern
from transformer.positions import LearnedPositions, NoRotation, Rotary
from transformer.stems import ConvolutionalStem, PatchProjection
from transformer.weights.components import is_nothing, path, unmodified

# The classes of our modules, by attribute name.
PLACES = {
    **dict.fromkeys(("out", "q", "up", "gate", "down", "decoder", "classifier"), nn.Linear),
    **dict.fromkeys(("qkv", "kv"), StackedLinear),
    **dict.fromkeys(("tokens", "token_types"), nn.Embedding),
    "patches": PatchProjection,
    "dropout": nn.Dropout,
}


@dataclass(frozen=True)
class Body:
    """Numbers that all blocks share.

    eps: of all norms. dropout: of the residual branches.
    """

    n_head: int
    d_head: int
    d_mlp: int
    activation: str
    eps: float
    dropout: float
    attention_dropout: float


class Inspection:
    """Collects the parts of a model that a family does not support.

    family: the class in transformers, for the error message.
    """

    def __init__(self, family: str):
        self.family = family
        self._refused: list[str] = []

    def require(self, ok: bool, part: str) -> None:
        """Unless `ok`, add `part` to the unsupported ones; it starts with its params.yaml key."""
        if not ok and part not in self._refused:
            self._refused.append(part)

    def one(self, part: str, values: Iterable[Any]) -> Any:
        """The common value of `values`; if they differ, `part` is not supported."""
        found = list(dict.fromkeys(values))
        self.require(len(found) == 1, f"{part}: different values, {', '.join(map(str, found))}")
        return found[0]

    def finish(self) -> None:
        """Raise one error for all parts found so far.

        Raises:
            ValueError: some parts are not supported.
        """
        if self._refused:
            raise ValueError(f"{self.family} does not support " + "; ".join(self._refused))

    def body(
        self,
        model: Transformer,
        embedding: type[nn.Module],
        block: type[Block],
        attention: type[Attention] | tuple[type[Attention], ...],
        mlp: type[nn.Module],
        norm: type[nn.Module],
        pattern: type[AttentionPattern],
        rotary: bool = False,
    ) -> Body:
        """Require parts of these types, with the same numbers in all blocks.

        rotary: whether queries and keys must be rotated.

        Raises:
            ValueError: a part is not of this project, so that it cannot be checked further.
        """
        self._exact(model)
        blocks, attentions = self._parts(model, embedding)
        self.require(model.encoder is None, "an encoder")
        kind = type(model.pattern).__name__
        self.require(type(model.pattern) is pattern, f"pattern: {kind}, not {pattern.__name__}")
        self.require(getattr(model.embedding, "scale", 1.0) == 1.0, "a scale of the embedding")
        for each in blocks:
            kind = f"{type(each).__name__}, not {block.__name__}"
            self.require(type(each) is block, f"norm_position: {kind}")
            self.require(type(each.mlp) is mlp, f"mlp: {type(each.mlp).__name__}")
            scales = (each.attention_scale, each.mlp_scale)
            self.require(all(map(is_nothing, scales)), "layer_scale")
        # A subclass, such as one of another family, may compute something else.
        known = attention if isinstance(attention, tuple) else (attention,)
        for layer in attentions:
            self.require(type(layer) in known, f"n_kv_head: {type(layer).__name__}")
            plain = is_nothing(layer.qk_norm)
            self.require(plain, "qk_norm: normalised queries and keys")
            right = type(layer.rotation) is (Rotary if rotary else NoRotation)
            self.require(right, f"positions: {'not ' if rotary else ''}rotary")
        if all(type(each) is block for each in blocks):
            self._ends(model, post=block is PostNormBlock)
        norms = self.norms(model)
        for module in norms:
            self.require(type(module) is norm, f"norm: {type(module).__name__}")
            self.require(getattr(module, "weight", None) is not None, "norm: one without a weight")
        eps = self.one("norm_eps", (getattr(module, "eps", None) for module in norms))
        self.require(eps is not None, "norm_eps: None")
        return Body(
            self.one("n_head", (a.n_head for a in attentions)),
            self.one("d_head", (a.out.in_features // a.n_head for a in attentions)),
            self.one("d_mlp", (b.mlp.up.out_features for b in blocks)),
            self.one("activation", (self.activation(b.mlp.activation) for b in blocks)),
            eps,
            self.one("dropout", (b.dropout.p for b in blocks)),
            self.one("dropout of attention", (a.dropout for a in attentions)),
        )

    def _exact(self, model: Transformer) -> None:
        """Require unmodified modules of this project and of torch."""
        self._try(lambda: unmodified(model))
        # A family refuses a convolutional stem itself, together with other parts.
        patches_of = getattr(model.embedding, "patches", None)
        stem = set(patches_of.modules()) if type(patches_of) is ConvolutionalStem else set()
        for name, part in model.named_modules():
            if part in stem:
                continue
            known = path(part).startswith(("transformer.", "torch.nn.modules."))
            wanted = PLACES.get(name.rpartition(".")[2], type(part))
            self.require(known and type(part) is wanted, f"{name}: {path(part)}")
        self.finish()

    def _try(self, check: Callable[[], Any]) -> None:
        """Add the error that `check` raises, if any."""
        try:
            check()
        except ValueError as error:
            self.require(False, str(error))

    def _parts(
        self, model: Transformer, embedding: type[nn.Module]
    ) -> tuple[list[Block], list[Attention]]:
        """The blocks and their attention layers."""
        kind = type(model.embedding)
        self.require(kind is embedding, f"the embedding {kind.__name__}")
        blocks = list(model.blocks)
        for each in blocks:
            self.require(isinstance(each, Block), f"the block {type(each).__name__}")
        self.finish()
        for each in blocks:
            kind = type(each.attention)
            self.require(issubclass(kind, Attention), f"the attention {kind.__name__}")
            kind = type(each.mlp)
            self.require(kind in (MLP, GatedMLP), f"mlp: {kind.__name__}")
        self.finish()
        return blocks, [each.attention for each in blocks]

    def _ends(self, model: Transformer, post: bool) -> None:
        """Require a norm after the last block (`post`: before the first), and no other."""
        before, after = type(model.embedding.norm), type(model.norm)
        here, other = (before, after) if post else (after, before)
        places = ("before the first block", "after the last block")
        wanted, unwanted = places if post else places[::-1]
        self.require(here is not nn.Identity, f"norm: none {wanted}")
        self.require(other is nn.Identity, f"norm: {other.__name__} {unwanted}")

    def norms(self, model: Transformer) -> list[nn.Module]:
        """All norms of the residual stream."""
        stream = [n for b in model.blocks for n in (b.attention_norm, b.mlp_norm)]
        rest = [m for m in (model.embedding.norm, model.norm) if not is_nothing(m)]
        return stream + rest

    def activation(self, activation: nn.Module) -> str:
        """Its name in transformers."""
        if type(activation) is nn.GELU:
            return "gelu" if activation.approximate == "none" else "gelu_new"
        names = {nn.ReLU: "relu", nn.SiLU: "silu", nn.Tanh: "tanh"}
        parts = activation if isinstance(activation, nn.Sequential) else [activation]
        words = " and ".join(type(part).__name__ for part in parts)
        self.require(type(activation) in names, f"activation: {words}")
        return names.get(type(activation), words)

    def biases(self, modules: Sequence[nn.Module], wanted: bool, part: str) -> None:
        """Require that all of `modules` have a bias (`wanted`), or none."""
        has = [getattr(module, "bias", None) is not None for module in modules]
        self.require(all(each is wanted for each in has), part)

    def learned_positions(self, positions: nn.Module) -> None:
        """Require a learned table."""
        kind = type(positions).__name__
        self.require(type(positions) is LearnedPositions, f"positions: {kind}, not learned")

    def unscaled(self, model: Transformer, body: Body) -> None:
        """Require that attention divides by the square root of d_head."""
        usual = (None, body.d_head**-0.5)
        same = all(block.attention.scale in usual for block in model.blocks)
        self.require(same, "another scale of attention")


def does_nothing(module: nn.Module) -> bool:
    """Whether the output always equals the input, also in training."""
    if isinstance(module, nn.Sequential):
        return all(does_nothing(part) for part in module)
    return is_nothing(module) or (type(module) is nn.Dropout and not module.p)
