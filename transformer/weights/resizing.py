"""Interpolates learned positions of image patches for another image size than in training."""

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]


def pair(size: int | list[int] | tuple[int, ...], name: str) -> Grid:
    """Height and width, from two numbers or from one for both.

    Raises:
        ValueError: it is neither; the message begins with `name`.
    """
    both = (size, size) if isinstance(size, int) else size
    whole = isinstance(both, list | tuple) and all(type(n) is int and n > 0 for n in both)
    if not whole or len(both) != 2:
        raise ValueError(
            f"{name}: {size!r} is not supported; expected one or two whole numbers above 0"
        )
    return both[0], both[1]


def one(size: Grid) -> int | Grid:
    """The reverse of `pair`."""
    return size[0] if size[0] == size[1] else size


def sizes(
    trained: Grid, patch_size: Grid, image_size: int | tuple[int, int] | None
) -> tuple[Grid, Grid, Grid]:
    """The new image size, and the grids of patches for the image size in training and the new one.

    image_size: the new one; None to keep `trained`.

    Raises:
        ValueError: see `pair` and `grid`.
    """
    size = trained if image_size is None else pair(image_size, "image_size")
    return size, grid(trained, patch_size), grid(size, patch_size)


def grid(image_size: Grid, patch_size: Grid) -> Grid:
    """Number of patches along height and width.

    Raises:
        ValueError: the image is smaller than a patch.
    """
    rows, columns = image_size[0] // patch_size[0], image_size[1] // patch_size[1]
    if not rows or not columns:
        image, patch = (f"{height} x {width}" for height, width in (image_size, patch_size))
        raise ValueError(f"image_size: {image} pixels are smaller than a patch of {patch}")
    return rows, columns


def resize(
    table: Tensor,
    prefix: int,
    old: Grid,
    new: Grid,
    antialias: bool = False,
    align_corners: bool = False,
) -> Tensor:
    """Bicubic interpolation of a table of positions between two grids of patches.

    table: (1, prefix + rows * columns, d_model); the first `prefix` rows, such as the class
        token's, do not change.

    Raises:
        ValueError: the table does not match the old grid, or is not floating-point.
    """
    if old == new:
        return table
    count = prefix + old[0] * old[1]
    if not table.is_floating_point() or table.ndim != 3 or table.shape[1] != count:
        raise ValueError(
            f"positions: {table.dtype} of shape {tuple(table.shape)}; expected floating-point "
            f"numbers for {old[0]} x {old[1]} patches and {prefix} other tokens (see image_size)"
        )
    first, patches = table.float().split([prefix, old[0] * old[1]], dim=1)
    image = patches.unflatten(1, old).permute(0, 3, 1, 2)
    image = F.interpolate(
        image, size=new, mode="bicubic", antialias=antialias, align_corners=align_corners
    )
    return torch.cat((first, image.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)
