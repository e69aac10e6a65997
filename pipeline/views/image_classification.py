"""Classified images: the rows and pictures of the report, samples, and classes of new images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

from pipeline.data.decoding import SUFFIXES, read
from pipeline.data.image_folders import image_files
from pipeline.errors import UserError
from pipeline.inference.loading import Head, ImageModel, image_model
from pipeline.paths import data_dir, read_json
from pipeline.tasks.image_classification import ImageClassification, normalize
from pipeline.tasks.text import evenly
from pipeline.training import models
from pipeline.views import export, readme
from pipeline.views.base import HELD_OUT, PICTURES, TRAINING, Curve, Panel, View, picture
from pipeline.wording import counted, number
from transformer.heads import ClassificationHead

if TYPE_CHECKING:  # it imports pandas, which evaluations do not need
    from pipeline.results import Result

HEAD = Head(ClassificationHead, "an image classifier (ViTForImageClassification)")
SAMPLES, RIGHT = 16, 4  # number of images to show, at least RIGHT of them correct
TOP = 5


def classes(
    paths: tuple[Path, ...], name: str, source: Path | None, top: int
) -> Iterator[tuple[Path, list[tuple[str, float]] | UserError]]:
    """Each image with its most likely classes and their probabilities, best first; or its error.

    paths: images, or folders of images.
    name: of the model trained here; source: a Hugging Face folder in its place.

    Raises:
        UserError: the model cannot be used, a path is missing, or a folder has no images.
    """
    files = [file for path in paths for file in _files(path)]
    images = image_model(HEAD, name, source)
    for file in files:
        try:
            ready = prepared(file, images)
        except UserError as error:
            yield file, error
            continue
        yield file, best_classes(images.model, ready, images.classes, top, images.independent)[0]


def best_classes(
    model: Any, images: Tensor, names: list[str], top: int, independent: bool = False
) -> list[list[tuple[str, float]]]:
    """The most likely classes of each image and their probabilities, best first.

    images: (B, C, H, W) floats. independent: whether several classes may be right.
    """
    with torch.inference_mode():
        logits = model(images)  # (B, classes)
    best = (logits.sigmoid() if independent else logits.softmax(-1)).topk(min(top, len(names)))
    return [
        [(names[index], chance) for index, chance in zip(*row, strict=True)]
        for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


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


def prepared(file: Path, images: ImageModel) -> Tensor:
    """A file as the model's input (1, C, H, W)."""
    picture, how = read(file), images.preparation
    height, width = how.size
    picture = picture.resize((width, height), Image.Resampling(how.resample))
    if images.model.embedding.patches.in_channels == 1:
        picture = picture.convert("L")
    pixels = np.asarray(picture).reshape(height, width, -1)
    batch = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    return normalize(batch, how.mean, how.std, how.scale)


def _panel(kind: str, closing: str, limits: tuple[float, float] | None = None) -> Panel:
    ours = (
        Curve(closing, "training batches, mean over an epoch", TRAINING),
        Curve(f"batch_{kind}", "test images, mean over batches of 32", HELD_OUT),
    )
    reference = (
        (f"train_{kind}", "the reference: training batches", "-"),
        (f"test_{kind}", "the reference: test images", ":"),
    )
    ylabel = "loss (nats)" if kind == "loss" else kind
    return Panel(ylabel, ours, reference, f"baseline_batch_{kind}", limits=limits)


class ImageClassificationView(View):
    family = "ViT"
    known = "class"
    drawn = "loss and accuracy by images seen"
    panels = (
        _panel("loss", "closing_cross_entropy"),
        _panel("accuracy", "closing_accuracy", (0.0, 1.0)),
    )
    rows: ClassVar = {
        "accuracy": "test accuracy, per image",
        "loss": "test loss, per image (nats)",
        "batch_accuracy": "test accuracy, mean over batches of 32",
        "batch_loss": "test loss, mean over batches of 32",
        "train_accuracy": "training accuracy, without augmentation",
        "baseline_accuracy": "test accuracy of the most frequent class",
        "classes_predicted": "different classes predicted",
    }

    def samples(self, task: ImageClassification, model: Any) -> dict[str, list[Any]]:
        """Test images with predictions: first mistakes, by falling probability, then correct
        ones, evenly spaced over the split."""
        labels = task.images["test_labels"]
        chances, predicted = task.logits(model, "test").softmax(1).max(1)
        wrong = (predicted != labels).nonzero().squeeze(1)
        right = (predicted == labels).nonzero().squeeze(1)
        surest = wrong[chances[wrong].argsort(descending=True, stable=True)]
        mistakes = surest[: SAMPLES - min(RIGHT, len(right))]
        chosen = torch.cat((mistakes, evenly(right, SAMPLES - len(mistakes))))
        names = task.meta["classes"]
        return {
            "images": chosen.tolist(),
            "actual": [names[i] for i in labels[chosen].tolist()],
            "predicted": [names[i] for i in predicted[chosen].tolist()],
            "probability": [round(p, 4) for p in chances[chosen].tolist()],
        }

    def predictions(self, task: ImageClassification, model: Any) -> list[dict[str, str]]:
        predicted = task.logits(model, "test").argmax(1).tolist()
        names = task.meta["classes"]
        return [
            {"actual": names[label], "predicted": names[guess]}
            for label, guess in zip(task.images["test_labels"].tolist(), predicted, strict=True)
        ]

    def pictures(self, result: Result) -> dict[str, Callable[[Any], None]]:
        from pipeline.views import confusion  # it imports matplotlib

        pixels = load_file(data_dir(result.name) / "images.safetensors")["test_images"]
        return {
            "confusion": partial(
                confusion.confusion,
                predictions=result.predictions,
                classes=result.data["classes"],
                model=self.title(result.name),
            ),
            "predictions": partial(confusion.samples, shown=result.samples, pixels=pixels),
        }

    def shown(self, result: Result) -> str:
        title, first = self.title(result.name), result.trainings[0].seed
        assert result.predictions is not None
        answers = result.predictions[result.predictions["seed"] == str(first)]
        wrong = int((answers["actual"] != answers["predicted"]).sum())
        shown = sum(map(str.__ne__, result.samples["actual"], result.samples["predicted"]))
        which = f" with seed {first}" if len(result.trainings) > 1 else ""
        some = "all of them" if shown == wrong else f"the {shown} with the highest probability"
        mistakes = f" Mistakes come first, {some}, with the true class below." if wrong else ""
        return (
            f"![{title}: confusion matrix]({PICTURES}/{picture(result, 'confusion')})\n\n"
            f"The model{which} is wrong on {wrong:,} of "
            f"{counted(len(answers), 'test image')}.{mistakes}\n\n"
            f"![{title}: predictions]({PICTURES}/{picture(result, 'predictions')})\n"
        )

    def notes(self, result: Result, judged: bool) -> list[str]:
        metrics, lines = result.metrics, []
        if judged:
            lines.append(
                "The reference's ViT learnt nothing: its test accuracies 0.5417, 0.2604 and 0.1979 "
                "are those of 'always sushi', 'always pizza' and 'always steak' as means over "
                "batches of 32, 32 and 11 test images; per image, 'always sushi' is right for 31 "
                "of 75, 0.4133. We compare the target with the same mean over batches. Per image, "
                f"our accuracy is {number(metrics['accuracy'])}, and that of the most frequent "
                f"class is {number(metrics['baseline_accuracy'])}."
            )
        for seed in result.one_class_only:
            lines.append(
                f"**Warning: our {self.title(result.name)} with seed {seed} predicts the same "
                "class for every test image. It has learnt nothing, whatever the verdicts say.**"
            )
        return lines

    def image_shape(self, meta: dict[str, Any]) -> tuple[int, int, int] | None:
        return meta["channels"], meta["image_size"], meta["image_size"]

    def answering(self, artifacts: dict[str, Path]) -> Callable[[Any], list[Any]]:
        """Images (N, C, H, W) of bytes to the most likely classes."""
        model, _ = models.load(artifacts["model"])
        meta = read_json(artifacts["meta"])

        def answer(images: np.ndarray) -> list[Any]:
            ready = normalize(torch.from_numpy(images), meta["mean"], meta["std"])
            return best_classes(model, ready, meta["classes"], TOP)

        return answer

    def export(self, name: str, folder: Path) -> tuple[str, str]:
        images = image_model(HEAD, name, None)
        written, grey = export.classifier(images, folder)
        return written, readme.of_classifier(name, images, written, grey)


VIEW = ImageClassificationView()
