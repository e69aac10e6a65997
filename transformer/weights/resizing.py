"""Learned positions of image patches, for images of another size than the model was trained on."""

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]


def pair(size: int | list[int] | tuple[int, int], name: str) -> Grid:
    """A height and width, given as such or as one number for both.

    Raises:
        ValueError: it is neither; the message begins with `name`.
    """
    both = (size, size) if isinstance(size, int) else size
    whole = isinstance(both, list | tuple) and all(type(n) is int and n > 0 for n in both)
    if not whole or len(both) != 2:
        raise ValueError(f"{name}: {size!r} is not supported; a whole number above 0, or two, is")
    return both[0], both[1]


def one(size: Grid) -> int | Grid:
    """The reverse of `pair`."""
    return size[0] if size[0] == size[1] else size


def sizes(
    trained: Grid, patch_size: Grid, image_size: int | tuple[int, int] | None
) -> tuple[Grid, Grid, Grid]:
    """The images that a model is to take, and the patches along height and width: of those that it
    was trained on, and of those that it is to take.

    image_size: None for those that it was trained on.

    Raises:
        ValueError: see `pair` and `grid`.
    """
    size = trained if image_size is None else pair(image_size, "image_size")
    return size, grid(trained, patch_size), grid(size, patch_size)


def grid(image_size: Grid, patch_size: Grid) -> Grid:
    """Patches along height and width.

    Raises:
        ValueError: an image is smaller than a patch.
    """
    rows, columns = image_size[0] // patch_size[0], image_size[1] // patch_size[1]
    if not rows or not columns:
        image, patch = (f"{height} x {width}" for height, width in (image_size, patch_size))
        raise ValueError(f"image_size: {image} pixels hold no patch of {patch}")
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

    table: (1, prefix + rows * columns, d_model); the first `prefix` ones, such as the class
        token's, stay as they are.

    Raises:
        ValueError: the table is not of the old grid, or not of floating-point numbers.
    """
    if old == new:
        return table
    count = prefix + old[0] * old[1]
    if not table.is_floating_point() or table.ndim != 3 or table.shape[1] != count:
        raise ValueError(
            f"positions: {table.dtype} of shape {tuple(table.shape)}, not floating-point numbers "
            f"for {old[0]} x {old[1]} patches and {prefix} others (see image_size)"
        )
    first, patches = table.float().split([prefix, old[0] * old[1]], dim=1)
    image = patches.unflatten(1, old).permute(0, 3, 1, 2)
    image = F.interpolate(
        image, size=new, mode="bicubic", antialias=antialias, align_corners=align_corners
    )
    return torch.cat((first, image.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)
