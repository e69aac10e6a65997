"""Image preprocessing, from the preprocessor_config.json of a Hugging Face folder.

Its images are those of Pillow, which this module does not import.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from transformer.embeddings import PatchEmbedding
from transformer.weights.huggingface.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "preprocessor_config.json"
BILINEAR, FILTERS = 2, range(6)  # Pillow's numbers of its filters
# Keys that do not matter for a single RGB image.
WITHOUT_EFFECT = {
    "_processor_class", "_valid_processor_keys", "crop_size", "data_format", "device",
    "disable_grouping", "do_convert_rgb", "image_seq_length", "input_data_format", "pad_size",
    "processor_class", "return_tensors",
}  # fmt: skip


@dataclass(frozen=True)
class Preparation:
    """Image preprocessing: resize, then (bytes * scale - mean) / std.

    size: (height, width) after resizing.
    resample: Pillow's number of the filter.
    mean, std: one number per channel.
    """

    size: tuple[int, int]
    resample: int
    scale: float
    mean: list[float]
    std: list[float]

    def __call__(self, image: "Image") -> Tensor:
        """An image as the model's input: (1, C, height, width). With one channel it is grey."""
        height, width = self.size
        resized = image.convert("RGB").resize((width, height), self.resample)
        if len(self.mean) == 1:
            resized = resized.convert("L")
        content = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8)
        pixels = content.view(1, height, width, -1).permute(0, 3, 1, 2).float()
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (self.mean, self.std))
        return (pixels / (1 / self.scale) - mean) / std


def read_preparation(folder: Path | str, embedding: PatchEmbedding) -> Preparation:
    """Preprocessing as in transformers' ViTImageProcessor; embedding: that of the model.

    Raises:
        ValueError: the file is missing, or a key is not supported or does not match the model.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise ValueError(f"{path} is missing: it defines the preprocessing of images")
    settings = Settings(path)
    settings.expect("image_processor_type", "ViTImageProcessor", "ViTImageProcessorFast")
    settings.expect("feature_extractor_type", "ViTFeatureExtractor")
    for key in ("do_center_crop", "do_pad", "do_convert_grayscale", "do_flip_channel_order"):
        settings.expect(key, False)
    settings.expect("default_to_square", True)
    if not settings.flag("do_resize", True):
        raise settings.refusal("do_resize", "not supported; expected True")
    height, width = embedding.image_size
    if _size(settings) != (height, width):
        raise settings.refusal("size", f"the model takes images of height {height}, width {width}")
    resample = settings.take("resample", BILINEAR)
    if resample not in FILTERS:
        raise settings.refusal("resample", "expected the number of a Pillow filter, 0 to 5")
    scale = settings.take("rescale_factor", 1 / 255)
    if not _is_number(scale) or scale <= 0:
        raise settings.refusal("rescale_factor", "expected a number above 0")
    scale = scale if settings.flag("do_rescale", True) else 1.0
    channels = embedding.patches.in_channels
    if channels not in (1, 3):
        raise ValueError(f"{folder}: images have 1 or 3 channels, but the model takes {channels}")
    mean, std = (_numbers(settings, f"image_{key}", channels) for key in ("mean", "std"))
    if min(std) <= 0:
        raise settings.refusal("image_std", "expected numbers above 0")
    if not settings.flag("do_normalize", True):
        mean, std = [0.0] * channels, [1.0] * channels
    settings.finish(WITHOUT_EFFECT)
    return Preparation((height, width), resample, scale, mean, std)


def _size(settings: Settings) -> Any:
    """(height, width), from any of the forms in versions of transformers."""
    size = settings.take("size", 224)
    if isinstance(size, dict) and size.keys() == {"height", "width"}:
        return size["height"], size["width"]
    return tuple(size) if isinstance(size, list) else (size, size)


def _numbers(settings: Settings, key: str, channels: int) -> list[float]:
    """One number per channel, from a list or from one number for all."""
    given = settings.take(key, 0.5)
    numbers = given if isinstance(given, list) else [given] * channels
    if len(numbers) != channels or not all(map(_is_number, numbers)):
        raise settings.refusal(key, f"expected {channels} numbers")
    return numbers


def _is_number(value: Any) -> bool:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return right and math.isfinite(value)
