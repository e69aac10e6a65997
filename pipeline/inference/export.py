"""Exports a trained model as a folder for Hugging Face transformers."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pipeline.data import tokenization
from pipeline.errors import UserError, is_full_disk
from pipeline.inference import readme
from pipeline.inference.loading import ImageModel, TextModel, image_model, text_model
from pipeline.paths import write_json
from transformer.weights import to_huggingface

README = {"bert": readme.of_masked_lm, "gpt": readme.of_causal_lm}
# Weights of red, green and blue in a grey value, as in Pillow (ITU-R 601-2).
BRIGHTNESS = (0.299, 0.587, 0.114)


def export(name: str, folder: Path) -> str:
    """Write the trained model `name`, its tokenizer or image preprocessing, and a README.md with
    an example.

    Returns the name of its class in transformers.

    Raises:
        UserError: it is not trained, transformers does not support a part of it, or `folder` is
            not a folder, is not empty, or cannot be written.
    """
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(f"{folder} already exists: give a new or an empty folder")
        written, page = _classifier(folder) if name == "vit" else _language_model(name, folder)
        (folder / "README.md").write_text(page, "utf-8")
    except ValueError as error:
        raise UserError(f"models/{name} cannot be exported: {error}") from None
    except OSError as error:
        if is_full_disk(error):
            raise
        raise UserError(f"{error.filename or folder}: {error.strerror}") from None
    return written


def _classifier(folder: Path) -> tuple[str, str]:
    """Write the ViT; returns the name of its class and the README.md."""
    images = image_model(None)
    labels = {str(index): label for index, label in enumerate(images.classes)}
    inverse = {label: int(index) for index, label in labels.items()}
    grey = len(images.preparation.mean) == 1
    images = _in_colour(images) if grey else images
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
    return written, readme.of_classifier(images, written, grey)


def _language_model(name: str, folder: Path) -> tuple[str, str]:
    """Write a BERT or a GPT; returns the name of its class and the README.md."""
    text = text_model(name, None)
    written = to_huggingface(text.model, folder)
    _tokenizer(text, folder)
    return written, README[name](text, written)


def _in_colour(images: ImageModel) -> ImageModel:
    """A model of grey images as one of RGB images, which transformers' pipelines pass.

    The first convolution, which is linear in the pixels, also converts to grey.
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
