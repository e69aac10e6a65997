"""A config.json of transformers: every key is read, or known not to matter, or refused by name."""

from typing import Any

from torch import nn

from transformer.build import ACTIVATIONS

# What neither the forward pass nor its gradients depend on.
WITHOUT_EFFECT = frozenset(
    (
        "_name_or_path", "name_or_path", "architectures", "model_type", "transformers_version",
        "dtype", "torch_dtype", "initializer_range", "use_cache", "bos_token_id",
        "eos_token_id", "sep_token_id", "decoder_start_token_id", "id2label", "label2id",
        "num_labels", "_num_labels", "problem_type", "finetuning_task", "tokenizer_class",
        "task_specific_params", "prefix", "gradient_checkpointing", "return_dict",
        "output_attentions", "output_hidden_states", "chunk_size_feed_forward",
        "classifier_dropout", "encoder_stride", "summary_activation", "summary_first_dropout",
        "summary_proj_to_labels", "summary_type", "summary_use_proj", "reorder_and_upcast_attn",
        "_attn_implementation_autoset",
    )
)  # fmt: skip
# What other values of would change the model; these are the ones that it is built for.
EXPECTED = {
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    "pretraining_tp": 1,
    "torchscript": False,
}
# The names that transformers gives to activations, and ours.
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
NO_DEFAULT = object()


class Config:
    """The keys of a config.json, each to be taken once.

    where: the file, for messages.
    """

    def __init__(self, values: dict[str, Any], where: str):
        self.values = values
        self.where = where
        self._left = set(values)

    def take(self, key: str, default: Any = NO_DEFAULT) -> Any:
        """The value of `key`; `default` is what transformers takes where it is not given.

        Raises:
            ValueError: it is not given and has no default.
        """
        self._left.discard(key)
        if key in self.values:
            return self.values[key]
        if default is NO_DEFAULT:
            raise ValueError(f"{self.where}: the key '{key}' is missing")
        return default

    def activation(self, key: str, default: str) -> nn.Module:
        """The activation that `key` names."""
        name = self.take(key, default)
        if name == "tanh":
            return nn.Tanh()
        if name not in ACTIVATION_NAMES:
            known = ", ".join([*ACTIVATION_NAMES, "tanh"])
            raise self.refusal(key, f"known are {known}")
        return ACTIVATIONS[ACTIVATION_NAMES[name]]()

    def refusal(self, key: str, right: str) -> ValueError:
        """The error about a value that cannot be honoured; right: what could be."""
        return ValueError(f"{self.where}: {key}: {self.values[key]!r} is not supported; {right}")

    def finish(self) -> None:
        """To be called when all that is known has been taken.

        Raises:
            ValueError: a key is not known, or has a value that the model is not built for.
        """
        for key, expected in EXPECTED.items():
            if self.take(key, expected) not in (expected, None):
                raise self.refusal(key, f"only {expected!r} is")
        unknown = sorted(self._left - WITHOUT_EFFECT)
        if unknown:
            raise ValueError(
                f"{self.where}: unknown keys, which might change the model: {', '.join(unknown)}"
            )
