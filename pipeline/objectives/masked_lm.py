"""Masked language modelling (Devlin et al. 2019, "BERT", section 3.1)."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.objectives.base import Batch, Objective
from pipeline.objectives.text import Tokens, consecutive_windows, evenly
from pipeline.params import Params
from pipeline.training.randomness import fixed_generator
from transformer import Transformer

KEEP, RANDOM = 0.1, 0.1  # of the chosen positions; the others become [MASK]
WATCHED_SEQUENCES = 1024  # of the held-out text, during training
TRAIN_SEQUENCES = 16384  # of the training text, in the final evaluation
EVALUATION_BATCH = 256
SAMPLES = 6


class MaskedLanguageModelling(Objective):
    """Guess the hidden tokens of a sequence from those around them."""

    unit = "tokens"
    headline = ("train_loss", "loss", "top1")

    def __init__(self, params: Params, seed: int, data: Path, device: torch.device):
        super().__init__(seed, device, params.bert.train.batch_size)
        self.section = params.bert
        self.architecture = params.architecture("bert")
        self.tokens = Tokens(data, device)
        self.units_per_example = self.tokens.length
        self.examples = len(self.tokens.train) // self.tokens.length
        held_out = consecutive_windows(self.tokens.validation, self.tokens.length)
        fraction = self.section.objective.evaluation_mask_fraction
        # One fixed masking of the held-out text, for every evaluation of every run.
        self.held_out = self._mask(held_out, fraction, fixed_generator("validation masking"))
        watched = evenly(torch.arange(len(held_out)), WATCHED_SEQUENCES)
        self.watched = {key: value[watched] for key, value in self.held_out.items()}

    @property
    def model_config(self) -> dict[str, Any]:
        return {
            "kind": "bert",
            "architecture": self.architecture.model_dump(),
            "vocabulary_size": self.tokens.vocabulary_size,
            "length": self.tokens.length,
            "tie_embeddings": self.section.model.tie_embeddings,
            "prediction_transform": self.section.model.prediction_transform,
        }

    def build_model(self) -> Transformer:
        """Starts at the unigram distribution, which a model otherwise spends its first steps on."""
        model = super().build_model()
        with torch.no_grad():
            model.head.decoder.bias.copy_(self.tokens.unigram_log_probabilities())
        return model

    def training_batch(self, step: int) -> Batch:
        order = self.generator("data order", step)
        sequences = self.tokens.random_windows(self.batch_size, self.tokens.length, order)
        fraction = self.section.objective.mask_fraction
        return self._mask(sequences, fraction, self.generator("masking", step))

    def _mask(self, sequences: Tensor, fraction: float, random: torch.Generator) -> Batch:
        """Hide the same number of positions in each sequence, chosen at random.

        sequences: (B, T). Returns `inputs` (B, T), and `positions` and `labels` (B, hidden).
        """
        count, length = sequences.shape
        hidden = max(1, round(fraction * length))
        positions = torch.rand(count, length, generator=random).topk(hidden, dim=1).indices
        fate = torch.rand(count, hidden, generator=random).to(self.device)
        vocabulary = self.tokens.vocabulary_size
        strangers = torch.randint(vocabulary, (count, hidden), generator=random).to(self.device)
        positions = positions.to(self.device)
        labels = sequences.gather(1, positions)
        shown = torch.full_like(labels, self.tokens.meta["special"]["mask"])
        shown = torch.where(fate < RANDOM, strangers, shown)
        shown = torch.where(fate > 1 - KEEP, labels, shown)
        inputs = sequences.scatter(1, positions, shown)
        return {"inputs": inputs, "positions": positions, "labels": labels}

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        count, length = batch["inputs"].shape
        first = torch.arange(0, count * length, length, device=self.device)[:, None]
        positions = (first + batch["positions"]).flatten()
        return {"inputs": batch["inputs"], "head_inputs": {"positions": positions}}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        inputs = self.model_inputs(batch)
        hidden = model.encode(inputs["inputs"])
        return model.head.loss(hidden, batch["labels"].flatten(), **inputs["head_inputs"]), {}

    def validate(self, model: Any) -> dict[str, float]:
        figures = self._figures(model, self.watched)
        return {"loss": figures["loss"], "accuracy": figures["top1"]}

    def evaluate(self, model: Any) -> dict[str, float]:
        figures = self._figures(model, self.held_out)
        train = evenly(
            consecutive_windows(self.tokens.train, self.tokens.length), TRAIN_SEQUENCES
        )
        fraction = self.section.objective.evaluation_mask_fraction
        train_batch = self._mask(train, fraction, fixed_generator("train evaluation masking"))
        # The reference's figure is the loss of a training step: dropout is on.
        torch.manual_seed(self.generator("train evaluation dropout").initial_seed())
        train_figures = self._figures(model.train(), train_batch)
        model.eval()
        unigram = self.tokens.unigram_log_probabilities()
        return {
            **figures,
            "train_loss": train_figures["loss"],
            "baseline_loss": -unigram[self.held_out["labels"]].mean().item(),
            "baseline_train_loss": -unigram[train_batch["labels"]].mean().item(),
        }

    @torch.inference_mode()
    def _figures(self, model: Any, masked: Batch) -> dict[str, float]:
        """Loss in nats and top-1 and top-5 accuracy over the hidden tokens."""
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for start in range(0, len(masked["inputs"]), EVALUATION_BATCH):
            batch = {k: v[start : start + EVALUATION_BATCH] for k, v in masked.items()}
            logits = model(**self.model_inputs(batch)).float()
            labels = batch["labels"].flatten()
            hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            loss = F.cross_entropy(logits, labels, reduction="sum")
            sums += torch.stack((loss, hits[:, 0].sum(), hits.sum()))
        loss, top1, top5 = (sums / masked["labels"].numel()).tolist()
        return {"loss": loss, "top1": top1, "top5": top5}

    @torch.inference_mode()
    def samples(self, model: Any) -> list[dict[str, Any]]:
        """Held-out lines with hidden words, and the five likeliest words for each."""
        chosen = evenly(torch.arange(len(self.held_out["inputs"])), SAMPLES)
        batch = {key: value[chosen] for key, value in self.held_out.items()}
        order = batch["positions"].argsort(dim=1)
        batch["positions"] = batch["positions"].gather(1, order)
        batch["labels"] = batch["labels"].gather(1, order)
        mask = self.tokens.meta["special"]["mask"]
        batch["inputs"] = batch["inputs"].scatter(1, batch["positions"], mask)
        scores = model(**self.model_inputs(batch)).float()
        chances, words = scores.softmax(-1).topk(min(5, scores.shape[1]))
        hidden = batch["labels"].shape[1]
        word = self.tokens.tokenizer.id_to_token
        return [
            {
                "masked": " ".join(map(word, line)),
                "answer": list(map(word, answer)),
                "predictions": [
                    [[word(token), round(chance, 4)] for token, chance in zip(*best, strict=True)]
                    for best in zip(top_words, top_chances, strict=True)
                ],
            }
            for line, answer, top_words, top_chances in zip(
                batch["inputs"].tolist(),
                batch["labels"].tolist(),
                words.unflatten(0, (-1, hidden)).tolist(),
                chances.unflatten(0, (-1, hidden)).tolist(),
                strict=True,
            )
        ]

    def line(self, step: int, rows: list[dict[str, float]], validation: dict | None) -> str:
        last = rows[-1]
        text = f"it: {step}  | loss {last['loss']:.4g}  | Δw: {last['delta_w']:.5g}"
        return text + (f"  | held-out loss {validation['loss']:.3f}" if validation else "")
