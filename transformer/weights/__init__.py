"""Other libraries' models as the one Transformer, weight for weight, and back."""

from transformer.weights.huggingface import from_huggingface, to_huggingface
from transformer.weights.timm import from_timm
from transformer.weights.torch_nn import from_torch
from transformer.weights.torchvision import from_torchvision

__all__ = ["from_huggingface", "from_timm", "from_torch", "from_torchvision", "to_huggingface"]
