"""Image classification (Dosovitskiy et al. 2021, "ViT")."""

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from pipeline.objectives.augmentation import AUGMENTATIONS
from pipeline.objectives.base import Batch, Measure, Objective
from pipeline.objectives.mixing import mixing
from pipeline.objectives.text import evenly
from pipeline.params import Params

SAMPLES, RIGHT = 16, 4  # number of images to show, at least RIGHT of them correct


def _mean_of_batch_means(values: Tensor) -> Tensor:
    """The reference's mean: over batches of 32 in file order, of which the last is smaller."""
    return torch.stack([part.mean() for part in values.split(32)]).mean()


def _hits(predicted: Tensor, labels: Tensor) -> Tensor:
    """1 for each right prediction and 0 for others: (B,). For mixed labels (B, classes) it is the
    share of the predicted class, as in mixup's public code."""
    if labels.ndim == 1:
        return (predicted == labels).float()
    return labels.gather(1, predicted[:, None]).squeeze(1)


MEANS = {"images": torch.mean, "batches of 32": _mean_of_batch_means}
CLOSING = Measure("training", dropout=True, mean_over="batches of the last epoch")
BATCHES = Measure("test", dropout=False, mean_over="batches of 32")
IMAGES = Measure("test", dropout=False, mean_over="images")


class Classification(Objective):
    """Predict the class of an image."""

    unit = "images"
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

    def __init__(self, params: Params, seed: int, data: Path, device: torch.device):
        super().__init__(seed, device, params.vit.train.batch_size)
        self.section = params.vit
        self.architecture = params.architecture("vit")
        self.meta: dict[str, Any] = json.loads((data / "meta.json").read_text())
        self.images = {k: v.to(device) for k, v in load_file(data / "images.safetensors").items()}
        self.examples = len(self.images["train_images"])
        self.steps_per_epoch = math.ceil(self.examples / self.batch_size)
        self.closing_steps = self.steps_per_epoch  # the last epoch, as the reference logs it
        objective, classes = self.section.objective, len(self.meta["classes"])
        self.augment = AUGMENTATIONS[objective.augmentation](self.meta["image_size"])
        self.mix = mixing(objective.mixup, objective.cutmix, classes)
        if objective.mixup or objective.cutmix:
            self.legend = "train_loss, train_acc: of mixed images, against their mixed labels"
        shape = (1, -1, 1, 1)
        self.mean = torch.tensor(self.meta["mean"], device=device).view(shape)
        self.std = torch.tensor(self.meta["std"], device=device).view(shape)

    def examples_seen(self, steps: int) -> int:
        """The number of examples; the last batch of an epoch may be smaller."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.examples + rest * self.batch_size

    @property
    def model_config(self) -> dict[str, Any]:
        return {
            "kind": "vit",
            "architecture": self.architecture.model_dump(),
            "image_size": self.meta["image_size"],
            "patch_size": self.section.model.patch_size,
            "channels": self.meta["channels"],
            "classes": len(self.meta["classes"]),
            "pooling": self.section.model.pooling,
            "head_bias": self.section.model.head_bias,
            "stem": self.section.model.stem,
        }

    def training_batch(self, step: int) -> Batch:
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

    def normalize(self, images: Tensor) -> Tensor:
        """(B, C, H, W) bytes to floats: with mean 0 and standard deviation 1 over the training
        split, or from 0 to 1, depending on `normalization`."""
        return (images.float() / 255 - self.mean) / self.std

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        return {"inputs": batch["images"]}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and beside it the cross entropy without label smoothing and the accuracy.

        With mixed images all three are against the mixed labels: the cross entropy cannot fall to
        zero, but only to the labels' entropy.
        """
        logits = model(batch["images"]).float()
        labels = batch["labels"]
        loss = F.cross_entropy(
            logits, labels, label_smoothing=self.section.objective.label_smoothing
        )
        scores = logits.detach()
        return loss, {
            "cross_entropy": F.cross_entropy(scores, labels),
            "accuracy": _hits(scores.argmax(1), labels).mean(),
        }

    def validate(self, model: Any) -> dict[str, float]:
        # The loop computes the closing metrics over the training batches.
        return self._figures(self.logits(model, "test"), self.images["test_labels"])

    def evaluate(self, model: Any) -> dict[str, float]:
        test, labels = self.logits(model, "test"), self.images["test_labels"]
        train, train_labels = self.logits(model, "train"), self.images["train_labels"]
        # A model that knows only the class frequencies: it always predicts the most frequent one.
        frequencies = train_labels.bincount() / len(train_labels)
        baseline = self._figures(frequencies.log().expand_as(test), labels)
        baseline_train = self._figures(frequencies.log().expand_as(train), train_labels)
        train_figures = self._figures(train, train_labels)
        return {
            **self._figures(test, labels),
            "train_loss": train_figures["loss"],
            "train_accuracy": train_figures["accuracy"],
            **{f"baseline_{key}": value for key, value in baseline.items()},
            "baseline_train_loss": baseline_train["loss"],
            "baseline_train_accuracy": baseline_train["accuracy"],
            "classes_predicted": len(test.argmax(1).unique()),
        }

    @torch.inference_mode()
    def logits(self, model: Any, split: str) -> Tensor:
        """Logits of a whole split, in file order: (N, classes)."""
        parts = self.images[f"{split}_images"].split(256)
        return torch.cat([model(self.normalize(part)).float() for part in parts])

    def _figures(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Loss and accuracy as means over images, and as the reference's mean over batches."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        hits = _hits(logits.argmax(1), labels)
        return {
            name: MEANS[self.measures[name].mean_over](values).item()
            for name, values in (
                ("loss", losses),
                ("accuracy", hits),
                ("batch_loss", losses),
                ("batch_accuracy", hits),
            )
        }

    def samples(self, model: Any) -> dict[str, list]:
        """Test images with predictions: first mistakes, by falling probability, then correct
        ones, evenly spaced over the split."""
        labels = self.images["test_labels"]
        chances, predicted = self.logits(model, "test").softmax(1).max(1)
        wrong = (predicted != labels).nonzero().squeeze(1)
        right = (predicted == labels).nonzero().squeeze(1)
        surest = wrong[chances[wrong].argsort(descending=True, stable=True)]
        mistakes = surest[: SAMPLES - min(RIGHT, len(right))]
        chosen = torch.cat((mistakes, evenly(right, SAMPLES - len(mistakes))))
        classes = self.meta["classes"]
        return {
            "images": chosen.tolist(),
            "actual": [classes[i] for i in labels[chosen].tolist()],
            "predicted": [classes[i] for i in predicted[chosen].tolist()],
            "probability": [round(p, 4) for p in chances[chosen].tolist()],
        }

    def predictions(self, model: Any) -> list[dict[str, str]]:
        predicted = self.logits(model, "test").argmax(1).tolist()
        classes = self.meta["classes"]
        return [
            {"actual": classes[label], "predicted": classes[guess]}
            for label, guess in zip(self.images["test_labels"].tolist(), predicted, strict=True)
        ]

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        epoch = math.ceil(step / self.steps_per_epoch)
        loss = sum(row["cross_entropy"] for row in rows) / len(rows)
        accuracy = sum(row["accuracy"] for row in rows) / len(rows)
        return f"Epoch: {epoch} | train_loss: {loss:.4f} | train_acc: {accuracy:.4f}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        loss, accuracy = validation["batch_loss"], validation["batch_accuracy"]
        return f"test_loss: {loss:.4f} | test_acc: {accuracy:.4f}"
