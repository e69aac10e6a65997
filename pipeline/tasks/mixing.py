"""Mixed training images, with torchvision's transforms: mixup and CutMix."""

from collections.abc import Callable

from torch import Tensor

# Images (B, C, H, W) of floats and labels (B,) to images and labels (B, classes): the share of
# each class in an image. The images of a batch have one share, and each gets another of the batch.
Mixing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mixing(mixup: float, cutmix: float, classes: int) -> Mixing:
    """The mixing of a batch; draws from torch's global generator.

    mixup: blend whole images (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"), with
        a share drawn from Beta(mixup, mixup); 0: never.
    cutmix: paste a box of one image into another (Yun et al. 2019, "CutMix: Regularization
        Strategy to Train Strong Classifiers with Localizable Features"), with a share of the area
        drawn from Beta(cutmix, cutmix), less where the box would leave the image; 0: never.

    With both, each batch gets one of them, with equal chances. With neither, images and labels stay
    as they are.
    """
    if not (mixup or cutmix):
        return lambda images, labels: (images, labels)
    from torchvision.transforms import v2

    kinds = [(v2.MixUp, mixup), (v2.CutMix, cutmix)]
    chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha]
    return v2.RandomChoice(chosen)
