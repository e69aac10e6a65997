"""Whether a family of transformers can express a model of ours: what it cannot is named."""

from torch import nn

from transformer.attention import Attention
from transformer.layers import Block, LayerScale
from transformer.model import Transformer
from transformer.positions import LearnedPositions, NoRotation, Rotary


class Inspection:
    """Collects the parts of a model that a family does not have.

    family: the class of transformers, for the message.
    """

    def __init__(self, family: str):
        self.family = family
        self._refused: list[str] = []

    def require(self, ok: bool, part: str) -> None:
        """Unless `ok`, `part` is refused; it begins with the key of params.yaml, if it has one."""
        if not ok and part not in self._refused:
            self._refused.append(part)

    def finish(self) -> None:
        """Raises:
        ValueError: parts were refused; all are named.
        """
        if self._refused:
            raise ValueError(f"{self.family} has no place for " + "; ".join(self._refused))

    def body(
        self,
        model: Transformer,
        block: type[Block],
        attention: type[Attention] | tuple[type[Attention], ...],
        mlp: type[nn.Module],
        norm: type[nn.Module],
        rotary: bool = False,
    ) -> None:
        """Require blocks of these types throughout; raises at once, since the rest depends on it.

        rotary: whether queries and keys are rotated.
        """
        self.require(model.encoder is None, "an encoder beside the decoder")
        for each in model.blocks:
            kind = block.__name__
            self.require(type(each) is block, f"norm_position: {type(each).__name__}, not {kind}")
            kind = type(each.attention).__name__
            self.require(isinstance(each.attention, attention), f"n_kv_head: {kind}")
            self.require(type(each.mlp) is mlp, f"mlp: {type(each.mlp).__name__}")
        self.finish()
        for each in model.blocks:
            qk_norm, rotation = each.attention.qk_norm, each.attention.rotation
            self.require(isinstance(qk_norm, nn.Identity), "qk_norm: normalised queries and keys")
            right = type(rotation) is (Rotary if rotary else NoRotation)
            self.require(right, f"positions: {'not ' if rotary else ''}rotary")
            self.require(each.attention.scale is None, "a scale of attention of its own")
            scales = (each.attention_scale, each.mlp_scale)
            self.require(not any(isinstance(s, LayerScale) for s in scales), "layer_scale")
        for each in self.norms(model):
            self.require(type(each) is norm, f"norm: {type(each).__name__}")
        self.finish()

    def norms(self, model: Transformer) -> list[nn.Module]:
        """All norms of the residual stream."""
        stream = [n for b in model.blocks for n in (b.attention_norm, b.mlp_norm)]
        rest = [m for m in (model.embedding.norm, model.norm) if not isinstance(m, nn.Identity)]
        return stream + rest

    def eps(self, model: Transformer) -> float:
        """The one eps of all norms."""
        found = {norm.eps for norm in self.norms(model)}
        self.require(len(found) == 1, f"norm_eps: several of them, {sorted(found)}")
        return found.pop()

    def biases(self, modules: list[nn.Module], wanted: bool, part: str) -> None:
        """Require that all of `modules` have a bias, or that none has."""
        has = [getattr(module, "bias", None) is not None for module in modules]
        self.require(all(each is wanted for each in has), part)

    def learned_positions(self, positions: nn.Module) -> None:
        """Require a learned table; raises at once, since the rest depends on it."""
        kind = type(positions).__name__
        self.require(isinstance(positions, LearnedPositions), f"positions: {kind}, not learned")
        self.finish()

    def activation(self, model: Transformer) -> str:
        """The one activation, as transformers names it."""
        names = {_name(block.mlp.activation) for block in model.blocks}
        self.require(len(names) == 1 and None not in names, f"activation: {names}")
        return names.pop() or ""


def _name(activation: nn.Module) -> str | None:
    if isinstance(activation, nn.GELU):
        return "gelu" if activation.approximate == "none" else "gelu_new"
    return {nn.ReLU: "relu", nn.SiLU: "silu"}.get(type(activation))
