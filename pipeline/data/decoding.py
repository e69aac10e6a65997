"""Pixels out of image files that anybody may have written."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import UserError

# By content, whatever the name says. Pillow knows others, some of which start a program to be
# read: Ghostscript, for a PostScript file that is called x.jpg.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
MAX_FILE_BYTES = 256 * 2**20


def read(path: Path) -> Image.Image:
    """Decode a file; see `decode`.

    Raises:
        UserError: it cannot be read, or is no image.
    """
    if not path.is_file():  # a pipe would be waited for
        raise UserError(f"{path}: no file, or a link to none")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UserError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
    return decode(str(path), content)


def resize(image: Image.Image, size: int) -> np.ndarray:
    """To size x size, whatever the aspect ratio, as the reference did."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def decode(name: str, content: bytes) -> Image.Image:
    """The upright image in colours, as bytes of red, green and blue.

    Of an animation the first frame; of transparent pixels the colour that they have beneath, as
    torchvision takes them; of 16 bits the upper ones, rounded.

    Raises:
        UserError: it is no image, cut off, of more pixels than an image has, or has real numbers
            or 32 bits a pixel, whose black and white nobody knows.
    """
    if not content:
        raise UserError(f"{name}: not a readable image: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of metadata in disorder
            # Pillow itself refuses what has twice as many pixels.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            image.load()
            form = image.format
            image = ImageOps.exif_transpose(image)
    except Image.UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise UserError(f"{name}: not a readable image: it does not begin as {known} do") from None
    # Whatever a decoder raises over bytes that it does not expect.
    except Exception as error:
        raise UserError(f"{name}: not a readable image: {error}") from None
    # A PPM has 16 bits, which Pillow keeps in 32.
    if image.mode.startswith("I;16") or (image.mode, form) == ("I", "PPM"):
        # convert() would clip them, and turn all but the darkest white.
        scaled = np.rint(np.asarray(image, dtype=np.float64) / 257)
        image = Image.fromarray(scaled.astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UserError(f"{name}: 32 bits or real numbers a pixel; save it with 8 or 16 bits")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
