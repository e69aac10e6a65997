"""preprocessor_config.json: images are prepared as in transformers, or the error names a key."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, ViTConfig

import transformer
from transformer import Architecture
from transformer.weights.huggingface.preparation import Preparation, read_preparation

SIZE = {"height": 8, "width": 8}


@pytest.fixture
def prepared(tmp_path):
    """An image prepared with a preprocessor_config.json, by us and by transformers."""
    model = transformer.vit(Architecture(1, 2, 8, 8), 8, 4, 3, 2)
    ViTConfig(image_size=8, patch_size=4).save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    file = tmp_path / "image.png"
    Image.fromarray(rng.integers(0, 255, (19, 30, 3), dtype=np.uint8)).save(file)

    def prepare(settings):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
        ours = read_preparation(tmp_path, model.embedding)
        theirs = AutoImageProcessor.from_pretrained(tmp_path)
        with Image.open(file) as image:
            return ours(image), theirs(image, return_tensors="pt").pixel_values

    return prepare


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 8},
        {"size": [8, 8], "feature_extractor_type": "ViTFeatureExtractor"},
        {"size": SIZE, "image_processor_type": "ViTImageProcessorFast", "resample": 3},
        {"size": SIZE, "image_mean": 0.25, "image_std": 0.5, "do_center_crop": None},
        {"size": SIZE, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3], "resample": 0},
        {"size": SIZE, "do_rescale": False, "crop_size": 4, "do_convert_rgb": True},
        {"size": SIZE, "do_normalize": False, "rescale_factor": 0.1},
    ],
    ids=str,
)
def test_what_is_known_is_done_as_transformers_does(prepared, settings):
    ours, theirs = prepared(settings)
    spread = (theirs.max() - theirs.min()).item()
    # Pillow and torchvision round the bytes of a resized image differently.
    torch.testing.assert_close(ours, theirs, atol=spread * 0.02, rtol=0)


def test_an_image_of_any_mode_becomes_the_colours_of_the_model():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    colour = Preparation((5, 7), 2, 1.0, [0.0] * 3, [1.0] * 3)(image)
    assert torch.equal(colour, torch.tensor(pixels).permute(2, 0, 1)[None].float())
    grey = Preparation((5, 7), 2, 1.0, [0.0], [1.0])(image)
    # ITU-R 601-2, as Pillow's documentation gives it for the mode L.
    brightness = torch.tensor(pixels @ np.array([0.299, 0.587, 0.114]))[None, None]
    torch.testing.assert_close(grey.double(), brightness, atol=1.0, rtol=0)
    image.putalpha(100)
    palette = Image.fromarray(pixels).quantize(256)
    for other, same in ((image, colour), (palette, None)):
        made = Preparation((5, 7), 2, 1.0, [0.0] * 3, [1.0] * 3)(other)
        assert made.shape == (1, 3, 5, 7) and (same is None or torch.equal(made, same))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_processor_type": "CLIPImageProcessor"}, "image_processor_type: 'CLIPImage"),
        ({"feature_extractor_type": "DeiTFeatureExtractor"}, "feature_extractor_type: 'DeiT"),
        ({"crop_pct": 0.9}, "unknown keys, which might change the input: crop_pct"),
        ({"size_divisor": 32}, "unknown keys, which might change the input: size_divisor"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order: True: not supported; expected F"),
        ({"do_resize": False}, "do_resize: False: not supported; expected True"),
        ({"do_resize": None}, "do_resize: None: expected true or false"),
        ({"do_normalize": "no"}, "do_normalize: 'no': expected true or false"),
        ({"size": {"shortest_edge": 8}}, "the model takes images of height 8, width 8"),
        ({"size": [8]}, "the model takes images of height 8, width 8"),
        ({"size": None}, "the model takes images of height 8, width 8"),
        ({"resample": 99}, "resample: 99: expected the number of a Pillow filter, 0 to 5"),
        ({"resample": [2]}, "resample: [2]: expected the number of a Pillow filter, 0 to 5"),
        ({"rescale_factor": 0}, "rescale_factor: 0: expected a number above 0"),
        ({"image_mean": [0.5, 0.5]}, "image_mean: [0.5, 0.5]: expected 3 numbers"),
        ({"image_mean": [0.5, 0.5, "x"]}, "expected 3 numbers"),
        ({"image_mean": float("nan")}, "image_mean: nan: expected 3 numbers"),
        ({"image_std": [0, 0, 0]}, "image_std: [0, 0, 0]: expected numbers above 0"),
    ],
    ids=str,
)
def test_what_would_be_done_otherwise_is_refused_by_name(prepared, settings, message):
    with pytest.raises(ValueError) as caught:
        prepared({"size": SIZE} | settings)
    assert "preprocessor_config.json: " in str(caught.value) and message in str(caught.value)


def test_the_size_of_no_configuration_is_that_of_transformers(prepared):
    with pytest.raises(ValueError, match="size: None: the model takes images of height 8, width 8"):
        prepared({})
    with pytest.raises(ValueError, match=r"config\.json: expected a JSON object"):
        prepared([])
