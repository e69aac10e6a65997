"""Import models with their weights from other libraries, and export to Hugging Face.

A file for each library: which of its classes and tensors are which of ours. May import all of
`transformer`, whose other modules know nothing of this package; and no other library but
safetensors, since what it reads are objects or files.
"""

from transformer.weights.huggingface import from_huggingface, to_huggingface
from transformer.weights.timm import from_timm
from transformer.weights.torch_nn import from_torch
from transformer.weights.torchvision import from_torchvision

__all__ = ["from_huggingface", "from_timm", "from_torch", "from_torchvision", "to_huggingface"]
