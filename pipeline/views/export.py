"""Writes trained models as folders for Hugging Face transformers."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pipeline.data import tokenization
from pipeline.inference.loading import ImageModel, TextModel
from pipeline.paths import write_json
from transformer.weights import to_huggingface

# Weights of red, green and blue in a grey value, as in Pillow (ITU-R 601-2).
BRIGHTNESS = (0.299, 0.587, 0.114)


def classifier(images: ImageModel, folder: Path) -> tuple[str, bool]:
    """Write a classifier and its image preprocessing; returns the name of its class, and whether it
    was trained on grey images."""
    labels = {str(index): label for index, label in enumerate(images.classes)}
    inverse = {label: int(index) for index, label in labels.items()}
    grey = len(images.preparation.mean) == 1
    images = in_colour(images) if grey else images
    how = images.preparation
    written = to_huggingface(images.model, folder, {"id2label": labels, "label2id": inverse})
    preparation = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": dict(zip(("height", "width"), how.size, strict=True)),
        "resample": how.resample,
        "do_rescale": True,
        "rescale_factor": how.scale,
        "do_normalize": True,
        "image_mean": how.mean,
        "image_std": how.std,
    }
    write_json(preparation, folder / "preprocessor_config.json")
    return written, grey


def language_model(text: TextModel, folder: Path) -> str:
    """Write a language model and its tokenizer; returns the name of its class."""
    written = to_huggingface(text.model, folder)
    _tokenizer(text, folder)
    return written


def in_colour(images: ImageModel) -> ImageModel:
    """A model of grey images as one of RGB images, which transformers' pipelines pass.

    The first layer, which is linear in the pixels, also converts to grey.
    """
    model = copy.deepcopy(images.model)
    stem = model.embedding.patches.modules()
    grey = next(layer for layer in stem if isinstance(layer, nn.Conv2d))
    weight = nn.Parameter(grey.weight.detach() * torch.tensor(BRIGHTNESS).view(1, 3, 1, 1))
    grey.weight, grey.in_channels = weight, 3
    how = images.preparation
    how = replace(how, mean=how.mean * 3, std=how.std * 3)
    return replace(images, model=model, preparation=how)


def _tokenizer(text: TextModel, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    whole = json.loads(text.tokenizer.to_str())
    # The models are trained on text without [CLS] and [SEP].
    whole["post_processor"] = None
    # Normalize to NFC, as prompts here.
    composed, usual = {"type": "NFC"}, whole["normalizer"]
    both = {"type": "Sequence", "normalizers": [composed, usual]}
    whole["normalizer"] = both if usual else composed
    write_json(whole, folder / "tokenizer.json")
    special = {name.strip("[]").lower(): name for name in tokenization.SPECIAL}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": text.context,
        # Without token types, which GPT-2 would add as token vectors.
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **{f"{key}_token": name for key, name in special.items()},
    }
    write_json(settings, folder / "tokenizer_config.json")
