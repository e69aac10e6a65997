"""Classifies images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.data.decoding import SUFFIXES, read
from pipeline.data.image_folders import image_files
from pipeline.errors import UserError
from pipeline.inference.loading import ImageModel, image_model


def classes(
    paths: tuple[Path, ...], source: Path | None, top: int
) -> Iterator[tuple[Path, list[tuple[str, float]] | UserError]]:
    """Each image with its most likely classes and their probabilities, best first; or its error.

    paths: images, or folders of images.

    Raises:
        UserError: the model cannot be used, a path is missing, or a folder has no images.
    """
    files = [file for path in paths for file in _files(path)]
    images = image_model(source)
    for file in files:
        try:
            pixels = _prepare(file, images)
        except UserError as error:
            yield file, error
            continue
        with torch.inference_mode():
            scores = images.model(pixels)[0]
            chances = scores.sigmoid() if images.independent else scores.softmax(-1)
        best = chances.topk(min(top, len(images.classes)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        yield file, [(images.classes[index], chance) for index, chance in pairs]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files, _ = image_files(path)
        if not files:
            known = ", ".join(sorted(SUFFIXES))
            raise UserError(f"{path}: no images in this folder; expected {known}")
        return files
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    return [path]


def _prepare(file: Path, images: ImageModel) -> Tensor:
    """A file as the model's input (1, channels, height, width)."""
    picture, how = read(file), images.preparation
    height, width = how.size
    picture = picture.resize((width, height), Image.Resampling(how.resample))
    if images.model.embedding.patches.in_channels == 1:
        picture = picture.convert("L")
    pixels = np.asarray(picture, dtype=np.float32).reshape(height, width, -1) * how.scale
    pixels = (pixels - np.float32(how.mean)) / np.float32(how.std)
    return torch.from_numpy(pixels.transpose(2, 0, 1))[None]
