"""Data augmentation of training images with torchvision's transforms."""

from collections.abc import Callable

import torch
from torch import Tensor

GROUP = 4  # images with the same random parameters


class Augmentation:
    """Applies a transform to groups of images in a batch.

    torchvision draws random parameters once per call, and one call for each image costs more than
    the training step of a small model. The groups differ in each epoch.

    transform: (N, C, H, W) bytes to the same shape.
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]):
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) bytes to the same shape."""
        return torch.cat([self.transform(group) for group in images.split(GROUP)])


def none(size: int) -> Callable[[Tensor], Tensor]:
    """No augmentation of (B, C, H, W) images."""
    return lambda images: images


def digits(size: int) -> Callable[[Tensor], Tensor]:
    """Small rotations, shifts and scalings of (B, C, size, size) bytes; no flips, because a
    mirrored 2 is not a digit."""
    from torchvision.transforms import v2

    return Augmentation(v2.RandomAffine(degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1)))


def photos(size: int) -> Callable[[Tensor], Tensor]:
    """Random crops, horizontal flips and changes of colour of (B, C, size, size) bytes."""
    from torchvision.transforms import v2

    return Augmentation(
        v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.4, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
            ]
        )
    )


# By the name in params.yaml; the argument is the height and width of the images.
AUGMENTATIONS = {"none": none, "digits": digits, "photos": photos}
