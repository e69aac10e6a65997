"""Image classification (Dosovitskiy et al. 2021, "ViT")."""

import json
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import transformer
from pipeline.parameters.image_classification import ImageClassificationSection
from pipeline.tasks import reference
from pipeline.tasks.augmentation import AUGMENTATIONS
from pipeline.tasks.mixing import Mixing, mixing
from pipeline.training.task import Batch, Measure, Task, block_weights
from transformer import Transformer


def normalize(
    images: Tensor, mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255
) -> Tensor:
    """(B, C, H, W) bytes to floats: (bytes * scale - mean) / std, for each channel."""
    shape = (1, -1, 1, 1)
    # (1, C, 1, 1) both
    mean_, std_ = (torch.tensor(each, device=images.device).view(shape) for each in (mean, std))
    return (images.float() / (1 / scale) - mean_) / std_


def _hits(predicted: Tensor, labels: Tensor) -> Tensor:
    """1 for each right prediction and 0 for others: (B,). For mixed labels (B, classes) it is the
    share of the predicted class, as in mixup's public code."""
    if labels.ndim == 1:
        return (predicted == labels).float()
    return labels.gather(1, predicted[:, None]).squeeze(1)


MEANS: dict[str, Callable[[Tensor], Tensor]]
MEANS = {"images": torch.mean, "batches of 32": reference.mean_of_batch_means}
CLOSING = Measure("training", dropout=True, mean_over="batches of the last epoch")
BATCHES = Measure("test", dropout=False, mean_over="batches of 32")
IMAGES = Measure("test", dropout=False, mean_over="images")


class ImageClassification(Task[ImageClassificationSection]):
    """Predict the class of an image."""

    unit = "images"
    step_metrics = ("loss", "cross_entropy", "accuracy")
    final = ("loss", "delta_w")
    headline = ("loss", "accuracy")
    units_per_example = 1
    measures: ClassVar = {
        "closing_cross_entropy": CLOSING,
        "closing_accuracy": CLOSING,
        "batch_loss": BATCHES,
        "batch_accuracy": BATCHES,
        "loss": IMAGES,
        "accuracy": IMAGES,
    }

    def __init__(
        self, section: ImageClassificationSection, seed: int, data: Path, device: torch.device
    ):
        super().__init__(section, seed, data, device)
        self.meta: dict[str, Any] = json.loads((data / "meta.json").read_text())
        self.images = {k: v.to(device) for k, v in load_file(data / "images.safetensors").items()}
        self.examples = len(self.images["train_images"])
        self.steps_per_epoch = math.ceil(self.examples / self.batch_size)
        self.closing_steps = self.steps_per_epoch  # the last epoch, as the reference logs it
        objective = self.section.objective
        if objective.mixup or objective.cutmix:
            self.legend = "train_loss, train_acc: of mixed images, against their mixed labels"

    def examples_seen(self, steps: int) -> int:
        """The number of examples; the last batch of an epoch may be smaller."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.examples + rest * self.batch_size

    @staticmethod
    def work(section: ImageClassificationSection, meta: dict[str, Any]) -> float:
        patches = (meta["image_size"] // section.model.patch_size) ** 2
        read = 1 / patches if section.model.pooling == "cls" else 1.0
        images = meta["train_images"] * section.train.epochs
        return 6.0 * block_weights(section, read) * patches * images

    def build_model(self) -> Transformer:
        settings = self.section.model
        return transformer.vit(
            self.section.architecture,
            self.meta["image_size"],
            settings.patch_size,
            channels=self.meta["channels"],
            classes=len(self.meta["classes"]),
            pooling=settings.pooling,
            head_bias=settings.head_bias,
            stem=settings.stem,
            generator=self.generator("initialization"),
        )

    def batch(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        order = torch.randperm(self.examples, generator=self.generator("data order", epoch))
        start = position * self.batch_size
        chosen = order[start : start + self.batch_size].to(self.device)
        images, labels = (self.images[f"train_{key}"][chosen] for key in ("images", "labels"))
        # torchvision uses torch's global generator: seed it temporarily for these streams.
        with torch.random.fork_rng():
            torch.manual_seed(self.generator("augmentation", step).initial_seed())
            images = self.augment(images)
            torch.manual_seed(self.generator("mixing", step).initial_seed())
            # The whole batch, so that micro-batches do not change what is mixed.
            images, labels = self.mix(self.normalize(images), labels)
        return {"images": images, "labels": labels}

    @cached_property
    def augment(self) -> Callable[[Tensor], Tensor]:
        """The augmentation of training images: (B, C, H, W) bytes to the same shape."""
        # Only when it is needed, because torchvision takes two seconds to import.
        return AUGMENTATIONS[self.section.objective.augmentation](self.meta["image_size"])

    @cached_property
    def mix(self) -> Mixing:
        """The mixing of training images and their labels."""
        objective = self.section.objective
        return mixing(objective.mixup, objective.cutmix, len(self.meta["classes"]))

    def normalize(self, images: Tensor) -> Tensor:
        """(B, C, H, W) bytes to the model's input."""
        return normalize(images, self.meta["mean"], self.meta["std"])

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        return {"inputs": batch["images"]}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and beside it the cross entropy without label smoothing and the accuracy.

        With mixed images all three are against the mixed labels: the cross entropy cannot fall to
        zero, but only to the labels' entropy.
        """
        logits = model(batch["images"]).float()  # (B, classes)
        labels = batch["labels"]  # (B,), or mixed (B, classes)
        loss = F.cross_entropy(
            logits, labels, label_smoothing=self.section.objective.label_smoothing
        )
        scores = logits.detach()
        return loss, {
            "cross_entropy": F.cross_entropy(scores, labels),
            "accuracy": _hits(scores.argmax(1), labels).mean(),
        }

    def gradient_metrics(self, model: Any) -> dict[str, Tensor]:
        return reference.delta_w(model)

    def validate(self, model: Any) -> dict[str, float]:
        # The loop computes the closing metrics over the training batches.
        return self._metrics(self.logits(model, "test"), self.images["test_labels"])

    def evaluate(self, model: Any) -> dict[str, float]:
        test_logits, test_labels = self.logits(model, "test"), self.images["test_labels"]
        train_logits, train_labels = self.logits(model, "train"), self.images["train_labels"]
        # A model that knows only the class frequencies: it always predicts the most frequent one.
        frequencies = train_labels.bincount() / len(train_labels)
        constant = frequencies.log()  # (classes,)
        baseline = self._metrics(constant.expand_as(test_logits), test_labels)
        baseline_train = self._metrics(constant.expand_as(train_logits), train_labels)
        train_metrics = self._metrics(train_logits, train_labels)
        return {
            **self._metrics(test_logits, test_labels),
            "train_loss": train_metrics["loss"],
            "train_accuracy": train_metrics["accuracy"],
            **{f"baseline_{key}": value for key, value in baseline.items()},
            "baseline_train_loss": baseline_train["loss"],
            "baseline_train_accuracy": baseline_train["accuracy"],
            "classes_predicted": len(test_logits.argmax(1).unique()),
        }

    @torch.inference_mode()
    def logits(self, model: Any, split: str) -> Tensor:
        """Logits of a whole split, in file order: (N, classes)."""
        parts = self.images[f"{split}_images"].split(256)

        def logits(index: int) -> Tensor:
            return model(self.normalize(parts[index])).float()

        return torch.cat(self.processes.each(len(parts), logits)).to(self.device)

    def _metrics(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Loss and accuracy as means over images, and as the reference's mean over batches; in
        float64, as the other tasks sum."""
        losses = F.cross_entropy(logits, labels, reduction="none").double()
        hits = _hits(logits.argmax(1), labels).double()
        return {
            name: MEANS[self.measures[name].mean_over](values).item()
            for name, values in (
                ("loss", losses),
                ("accuracy", hits),
                ("batch_loss", losses),
                ("batch_accuracy", hits),
            )
        }

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        epoch = math.ceil(step / self.steps_per_epoch)
        loss = sum(row["cross_entropy"] for row in rows) / len(rows)
        accuracy = sum(row["accuracy"] for row in rows) / len(rows)
        return f"Epoch: {epoch} | train_loss: {loss:.4f} | train_acc: {accuracy:.4f}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        loss, accuracy = validation["batch_loss"], validation["batch_accuracy"]
        return f"test_loss: {loss:.4f} | test_acc: {accuracy:.4f}"


TASK = ImageClassification
