"""Random changes of training images, a batch at a time, with torchvision's transforms."""

from collections.abc import Callable

import torch
from torch import Tensor

GROUP = 4  # images that share the random changes


class Augmentation:
    """A few images of a batch at a time, changed alike.

    torchvision draws once a call. One image a call costs more than a small model's whole step;
    since the order of the images is new in every epoch, an image meets every change all the same.

    transform: (N, C, H, W) bytes to the same shape.
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]):
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) bytes to the same shape."""
        return torch.cat([self.transform(group) for group in images.split(GROUP)])


def none(size: int) -> Callable[[Tensor], Tensor]:
    """Images as they are."""
    return lambda images: images


def digits(size: int) -> Augmentation:
    """Small rotations, shifts and scalings: no mirror image, a mirrored 2 is no digit."""
    from torchvision.transforms import v2

    return Augmentation(v2.RandomAffine(degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1)))


def photos(size: int) -> Augmentation:
    """Crops, mirror images and colours."""
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


# By the name in params.yaml; each is given the height and width of the images.
AUGMENTATIONS = {"none": none, "digits": digits, "photos": photos}
