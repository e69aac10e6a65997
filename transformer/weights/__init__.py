"""Import models with their weights from other libraries, and export to Hugging Face."""

from transformer.weights.huggingface import from_huggingface, to_huggingface
from transformer.weights.timm import from_timm
from transformer.weights.torch_nn import from_torch
from transformer.weights.torchvision import from_torchvision

__all__ = ["from_huggingface", "from_timm", "from_torch", "from_torchvision", "to_huggingface"]
