"""transformers and timm import torchvision, which may need help beside a torch without CUDA."""

from pipeline.objectives.augmentation import import_transforms

import_transforms()
