"""One Transformer, encoder and decoder: embed, blocks, norm, head.

It imports torch alone and knows nothing of tasks, DVC or MLflow. `transformer.weights` imports
models from other libraries and exports them; only files of Hugging Face need
further packages (the extra `huggingface`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from transformer.config import Architecture

if TYPE_CHECKING:
    from transformer.beam import Hypothesis, beam_search
    from transformer.build import bert, encoder_decoder, gpt, vit
    from transformer.counts import flops_per_step, parameter_count
    from transformer.generation import Sampling, generate, padded, stream
    from transformer.model import Transformer
    from transformer.saving import load, save
    from transformer.selection import TokensAt
else:
    MODULES = ("beam", "build", "counts", "generation", "model", "saving", "selection")

    # Importing torch takes seconds, which an Architecture alone does not need.
    def __getattr__(name: str) -> object:
        if name in __all__:
            for module in MODULES:
                if hasattr(found := import_module(f"{__name__}.{module}"), name):
                    return getattr(found, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __all__


__all__ = [
    "Architecture",
    "Hypothesis",
    "Sampling",
    "TokensAt",
    "Transformer",
    "beam_search",
    "bert",
    "encoder_decoder",
    "flops_per_step",
    "generate",
    "gpt",
    "load",
    "padded",
    "parameter_count",
    "save",
    "stream",
    "vit",
]
