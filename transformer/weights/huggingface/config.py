"""Reads a config.json of transformers; an unknown key that might matter raises an error."""

import math
from typing import Any

from torch import Tensor, nn

from transformer.parts import ACTIVATIONS
from transformer.weights.huggingface.keys import has_no_effect
from transformer.weights.resizing import Grid, pair

# Other values of these keys would change the model, and are not supported.
EXPECTED = {
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    "pretraining_tp": 1,
    "torchscript": False,
    # From older versions.
    "directionality": "bidi",
    "pooler_type": "first_token_transform",
    "rope_interleaved": False,
}
# Activations: name in transformers, our name.
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
NO_DEFAULT = object()


class Config:
    """The keys of a config.json; `finish` raises an error for keys that were not taken.

    where: the file, for error messages.
    """

    def __init__(self, values: dict[str, Any], where: str):
        self.values = values
        self.where = where
        self._left = set(values)

    def take(self, key: str, default: Any = NO_DEFAULT) -> Any:
        """The value of `key`; `default` is the default of transformers.

        Raises:
            ValueError: the key is missing and has no default.
        """
        self._left.discard(key)
        if key in self.values:
            return self.values[key]
        if default is NO_DEFAULT:
            raise ValueError(f"{self.where}: the key '{key}' is missing")
        return default

    def count(self, key: str, default: Any = NO_DEFAULT) -> Any:
        """A whole number above 0; or None, if that is the default."""
        value = self.take(key, default)
        if not (type(value) is int and value > 0) and not (value is default is None):
            raise self.refusal(key, "expected a whole number above 0")
        return value

    def positive(self, key: str, default: float) -> float:
        """A number above 0."""
        value = self.take(key, default)
        if not (is_number(value) and value > 0):
            raise self.refusal(key, "expected a number above 0")
        return value

    def dropout(self, key: str, default: float) -> float:
        """A probability."""
        value = self.take(key, default)
        if not (is_number(value) and 0 <= value <= 1):
            raise self.refusal(key, "expected a probability")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.refusal(key, "expected true or false")
        return value

    def size(self, key: str, default: int) -> Grid:
        """A height and a width."""
        return pair(self.take(key, default), f"{self.where}: {key}")

    def heads(self, key: str, width: int, default: Any = NO_DEFAULT) -> int:
        """The number of heads that split `width`.

        Raises:
            ValueError: it does not divide `width`.
        """
        n_head = self.count(key, default)
        if width % n_head:
            raise self.refusal(key, f"expected a divisor of the width {width}")
        return n_head

    def layers(
        self, key: str, tensors: dict[str, Tensor], prefix: str, default: Any = NO_DEFAULT
    ) -> int:
        """The number of blocks.

        Raises:
            ValueError: `tensors` has another number of blocks under `prefix`.
        """
        n_layer = self.count(key, default)
        names = (name.removeprefix(prefix) for name in tensors if name.startswith(prefix))
        found = len({name.partition(".")[0] for name in names})
        if found not in (0, n_layer):
            raise self.refusal(key, f"the weights have {found} blocks")
        return n_layer

    def padding(self, vocabulary_size: int, default: int | None) -> int | None:
        """The token whose vector is not trained; negative numbers count from the end."""
        value = self.take("pad_token_id", default)
        known = type(value) is int and -vocabulary_size <= value < vocabulary_size
        if value is not None and not known:
            raise self.refusal("pad_token_id", f"expected one of the {vocabulary_size} tokens")
        return value

    def activation(self, key: str, default: str) -> nn.Module:
        """The activation that `key` names."""
        name = self.take(key, default)
        if name == "tanh":
            return nn.Tanh()
        if not isinstance(name, str) or name not in ACTIVATION_NAMES:
            known = ", ".join([*ACTIVATION_NAMES, "tanh"])
            raise self.refusal(key, f"expected one of {known}")
        return ACTIVATIONS[ACTIVATION_NAMES[name]]()

    def refusal(self, key: str, right: str) -> ValueError:
        """The error for a value that is not supported; right: what is expected."""
        value = self.values.get(key)
        return ValueError(f"{self.where}: {key}: {value!r} is not supported; {right}")

    def finish(self) -> None:
        """Check the remaining keys, after all known keys have been taken.

        Raises:
            ValueError: a key is unknown, or its value is not supported.
        """
        for key, expected in EXPECTED.items():
            if self.take(key, expected) not in (expected, None):
                raise self.refusal(key, f"expected {expected!r}")
        unknown = sorted(key for key in self._left if not has_no_effect(key))
        if unknown:
            raise ValueError(
                f"{self.where}: unknown keys, which might change the model: {', '.join(unknown)}"
            )


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)
