"""How images become a model's input, by the preprocessor_config.json of a Hugging Face folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.errors import UserError
from pipeline.inference.settings import Settings
from transformer.embeddings import PatchEmbedding

FILE = "preprocessor_config.json"
# What a single image, which is read in colours, does not depend on.
WITHOUT_EFFECT = frozenset(
    (
        "_processor_class", "_valid_processor_keys", "crop_size", "data_format", "device",
        "disable_grouping", "do_convert_rgb", "image_seq_length", "input_data_format", "pad_size",
        "processor_class", "return_tensors",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Preparation:
    """What is done to the pixels.

    size: (height, width) that images are resized to.
    resample: how, as Pillow numbers it.
    scale: factor on the bytes of the pixels, after which `mean` is subtracted and the rest divided
        by `std`, each a number a channel.
    """

    size: tuple[int, int]
    resample: int
    scale: float
    mean: list[float]
    std: list[float]


def read_preparation(folder: Path, embedding: PatchEmbedding) -> Preparation:
    """As transformers' ViTImageProcessor prepares images; embedding: that of the model.

    Raises:
        UserError: the file is missing, a key would not be honoured, or does not fit the model.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{path} is missing: it says how images are to be prepared")
    settings = Settings(path)
    settings.expect("image_processor_type", "ViTImageProcessor", "ViTImageProcessorFast")
    settings.expect("feature_extractor_type", "ViTFeatureExtractor")
    for key in ("do_center_crop", "do_pad", "do_convert_grayscale", "do_flip_channel_order"):
        settings.expect(key, False)
    settings.expect("default_to_square", True)
    if not settings.flag("do_resize", True):
        raise settings.refusal("do_resize", "not supported; only True is")
    expected = tuple(embedding.image_size)
    if _size(settings) != expected:
        height, width = expected
        raise settings.refusal("size", f"the model takes images of height {height}, width {width}")
    resample = settings.take("resample", Image.Resampling.BILINEAR.value)
    if resample not in list(Image.Resampling):
        raise settings.refusal("resample", "expected Pillow's number of a filter, 0 to 5")
    scale = settings.take("rescale_factor", 1 / 255)
    if not _is_number(scale) or scale <= 0:
        raise settings.refusal("rescale_factor", "expected a number above 0")
    scale = scale if settings.flag("do_rescale", True) else 1.0
    channels = embedding.patches.in_channels
    if channels not in (1, 3):
        raise UserError(f"{folder}: images have 1 or 3 channels, but the model takes {channels}")
    mean, std = (_numbers(settings, f"image_{key}", channels) for key in ("mean", "std"))
    if min(std) <= 0:
        raise settings.refusal("image_std", "expected numbers above 0")
    if not settings.flag("do_normalize", True):
        mean, std = [0.0] * channels, [1.0] * channels
    settings.finish(WITHOUT_EFFECT)
    return Preparation(expected, resample, scale, mean, std)


def _size(settings: Settings) -> Any:
    """Height and width, from any of the forms that transformers has had for them."""
    size = settings.take("size", 224)
    if isinstance(size, dict) and size.keys() == {"height", "width"}:
        return size["height"], size["width"]
    return tuple(size) if isinstance(size, list) else (size, size)


def _numbers(settings: Settings, key: str, channels: int) -> list[float]:
    """A number a channel, given as such or as one for all."""
    given = settings.take(key, 0.5)
    numbers = given if isinstance(given, list) else [given] * channels
    if len(numbers) != channels or not all(map(_is_number, numbers)):
        raise settings.refusal(key, f"expected {channels} numbers")
    return numbers


def _is_number(value: Any) -> bool:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return right and math.isfinite(value)
