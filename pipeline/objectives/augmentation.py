"""Random changes of training images, a batch at a time, with torchvision's transforms."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

# Keeps the schemas below registered for the life of the process.
_SCHEMAS = torch.library.Library("torchvision", "FRAGMENT")


def import_transforms():
    """torchvision.transforms.v2, also beside a torch without CUDA.

    The x86-64 Linux wheels of torchvision link CUDA libraries. Where those are missing the
    compiled operators do not load, and the import fails over two schemas that the transforms
    never use: declare them first.
    """
    folder = Path(importlib.util.find_spec("torchvision").submodule_search_locations[0])
    try:
        for library in folder.glob("_C*.so"):
            torch.ops.load_library(library)
    except OSError:
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                _SCHEMAS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.transforms import v2

    return v2


class Augmentation:
    """Each image of a batch changed on its own.

    transform: (1, C, H, W) bytes to the same shape.
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]):
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) bytes to the same shape."""
        return torch.cat([self.transform(image) for image in images.split(1)])


def none() -> Callable[[Tensor], Tensor]:
    """Images as they are."""
    return lambda images: images


def digits() -> Augmentation:
    """Small rotations, shifts and scalings: no mirror image, a mirrored 2 is no digit."""
    v2 = import_transforms()
    return Augmentation(v2.RandomAffine(degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1)))


def photos() -> Augmentation:
    """Crops, mirror images, and colours."""
    v2 = import_transforms()
    return Augmentation(
        v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
            ]
        )
    )


AUGMENTATIONS = {"none": none, "digits": digits, "photos": photos}
