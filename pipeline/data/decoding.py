"""Decodes image files."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import UserError

# Recognized by content, not by name. Other formats of Pillow need further programs.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


def read(path: Path) -> Image.Image:
    """Decode a file; see `decode`.

    Raises:
        UserError: it cannot be read, or is not an image.
    """
    try:
        return decode(str(path), path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Resize to size x size, ignoring the aspect ratio, as the reference does."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def decode(name: str, content: bytes) -> Image.Image:
    """The image in RGB, rotated by its EXIF orientation.

    Takes the first frame of an animation, drops transparency as torchvision does, and rounds 16
    bits to 8.

    Raises:
        UserError: it is not an image, is truncated, or has floats or 32 bits per pixel, whose range
            is unknown.
    """
    if not content:
        raise UserError(f"{name}: not a readable image: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, or a huge photograph
            file = Image.open(io.BytesIO(content), formats=FORMATS)
            file.load()
            form = file.format
            image = ImageOps.exif_transpose(file)
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise UserError(f"{name}: not a readable image: expected {known}") from None
    # Decoders raise many kinds of errors for unexpected bytes.
    except Exception as error:
        raise UserError(f"{name}: not a readable image: {error}") from None
    # Pillow stores the 16 bits of a PPM in 32.
    if image.mode.startswith("I;16") or (image.mode, form) == ("I", "PPM"):
        # convert() would clip the values at 255.
        scaled = np.rint(np.asarray(image, dtype=np.float64) / 257)
        image = Image.fromarray(scaled.astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UserError(f"{name}: 32 bits or floats per pixel; save it with 8 or 16 bits")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
