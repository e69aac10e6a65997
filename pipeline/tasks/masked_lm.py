"""Masked language modelling (Devlin et al. 2019, "BERT", section 3.1)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

import transformer
from pipeline.parameters.masked_lm import MaskedLMSection, Masking
from pipeline.tasks import reference
from pipeline.tasks.masking import mask_tokens
from pipeline.tasks.sampled_softmax import sampler, scored_words
from pipeline.tasks.text import EXAMPLES, Tokens, consecutive_windows, evenly, hits
from pipeline.training.randomness import fixed_generator
from pipeline.training.task import Batch, Measure, Task, block_weights
from transformer import TokensAt, Transformer

TRAIN_SEQUENCES = 8192  # of the training text, for evaluations; the held-out text is whole
EVALUATION_BATCH = 256


class MaskedLM(Task[MaskedLMSection]):
    """Predict the masked tokens of a sequence from the others."""

    unit = "tokens"
    legend = reference.LEGEND
    final = ("loss", "delta_w")
    # The reference's result is the loss of a training step, with dropout.
    measures: ClassVar = {
        "train_loss": Measure("training", dropout=True, mean_over="hidden tokens")
    }

    def __init__(self, section: MaskedLMSection, seed: int, data: Path, device: torch.device):
        super().__init__(section, seed, data, device)
        self.tokens = Tokens(data, device)
        self.units_per_example = self.tokens.length
        examples = EXAMPLES[section.data.examples](self.tokens, section.name)
        self.draw, self.examples = examples.draw, examples.count
        self.steps_per_epoch = max(1, self.examples // self.batch_size)
        self.sampler = sampler(self.section.objective.sampled_softmax, self.tokens)
        # A fixed masking for each text, equal in all evaluations and runs.
        masking = self.section.objective.evaluation_masking
        random = fixed_generator("train evaluation masking")
        self.train_sample = self._mask(evenly(examples.all(), TRAIN_SEQUENCES), masking, random)
        self.held_out = None
        self.watched, self.headline = "train_loss", ("train_loss",)
        if len(self.tokens.validation):
            sequences = consecutive_windows(self.tokens.validation, self.tokens.length)
            random = fixed_generator("validation masking")
            self.held_out = self._mask(sequences, masking, random)
            self.watched, self.headline = "loss", ("train_loss", "loss", "top1")

    @staticmethod
    def work(section: MaskedLMSection, meta: dict[str, Any]) -> float:
        tokens = section.train.steps * section.train.batch_size * meta["sequence_length"]
        words = scored_words(section.objective.sampled_softmax, meta["vocabulary_size"])
        # The head reads masked tokens alone.
        read = section.objective.masking.fraction
        weights = block_weights(section, read) + section.architecture.d_model * words * read
        return 6.0 * weights * tokens

    def build_model(self) -> Transformer:
        """Initialize the head's bias, if any, with the unigram distribution, which the model would
        otherwise learn first."""
        settings = self.section.model
        model = transformer.bert(
            self.section.architecture,
            self.tokens.vocabulary_size,
            self.tokens.length,
            tie_embeddings=settings.tie_embeddings,
            prediction_transform=settings.prediction_transform,
            head_bias=settings.head_bias,
            generator=self.generator("initialization"),
        )
        if model.head.decoder.bias is not None:
            with torch.no_grad():
                model.head.decoder.bias.copy_(self.tokens.unigram_log_probabilities())
        return model

    def batch(self, step: int) -> Batch:
        sequences = self.draw(step, self.batch_size, self.seed)
        masking = self.section.objective.masking
        return self._mask(sequences, masking, self.generator("masking", step))

    def weight(self, batch: Batch) -> int:
        return int(batch["masked"].sum())

    def _mask(self, sequences: Tensor, masking: Masking, random: torch.Generator) -> Batch:
        """See `masking.mask_tokens`."""
        mask = self.tokens.meta["special"]["mask"]
        return mask_tokens(sequences, masking, mask, self.tokens.vocabulary_size, random)

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        return {"inputs": batch["inputs"], "keep": TokensAt(self._indices(batch))}

    def _indices(self, batch: Batch) -> Tensor:
        """Indices of the masked tokens in the flattened batch: (N,)."""
        indices = batch["masked"].flatten().nonzero().squeeze(1)
        if self.section.train.compile:  # else another number of them compiles again
            torch._dynamo.maybe_mark_dynamic(indices, 0)
        return indices.to(self.device, non_blocking=True)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        inputs = self.model_inputs(batch)
        labels = batch["labels"].flatten()[inputs["keep"].indices]  # (N,)
        hidden = model.encode(**inputs)  # (N, d_model)
        return model.head.loss(hidden, labels, candidates=self.sampler(labels)), {}

    def flops_per_step(self, model: Transformer) -> int:
        """As for all tasks; a sampled softmax counts the candidates of the first step."""
        batch = self.batch(0)
        labels = batch["labels"].flatten()[self._indices(batch)]
        return super().flops_per_step(self.sampler.narrowed(model, labels))

    def gradient_metrics(self, model: Any) -> dict[str, Tensor]:
        return reference.delta_w(model)

    def validate(self, model: Any) -> dict[str, float]:
        metrics = {"train_loss": self._train_loss(model)}
        if self.held_out:
            metrics |= self._metrics(model, self.held_out, ranks=(1,))
        return metrics

    def evaluate(self, model: Any) -> dict[str, float]:
        metrics = {
            "train_loss": self._train_loss(model),
            "baseline_train_loss": self._baseline(self.train_sample),
        }
        if self.held_out:
            metrics |= self._metrics(model, self.held_out, ranks=(1, 5))
            metrics["baseline_loss"] = self._baseline(self.held_out)
        return metrics

    def _train_loss(self, model: Any) -> float:
        torch.manual_seed(self.generator("train evaluation dropout").initial_seed())
        model.train(self.measures["train_loss"].dropout)
        loss = self._metrics(model, self.train_sample)["loss"]
        model.eval()
        return loss

    def _baseline(self, batch: Batch) -> float:
        """The loss of predicting only token frequencies."""
        labels = batch["labels"].flatten()[self._indices(batch)]
        return -self.tokens.unigram_log_probabilities()[labels].mean().item()

    @torch.inference_mode()
    def _metrics(self, model: Any, batch: Batch, ranks: Sequence[int] = ()) -> dict[str, float]:
        """Loss in nats over the masked tokens, and the accuracy of the `ranks` first answers."""

        def sums(index: int) -> Tensor:  # (1 + len(ranks),)
            first = index * EVALUATION_BATCH
            part = {k: v[first : first + EVALUATION_BATCH] for k, v in batch.items()}
            inputs = self.model_inputs(part)
            logits = model(**inputs).float()  # (N, V)
            labels = part["labels"].flatten()[inputs["keep"].indices]  # (N,)
            found = torch.zeros(1 + len(ranks), dtype=torch.float64, device=self.device)
            found[0] = F.cross_entropy(logits, labels, reduction="sum")
            if ranks:
                found[1:] = hits(logits, labels, ranks)
            return found

        parts = math.ceil(len(batch["inputs"]) / EVALUATION_BATCH)
        total = self.sharing(model.training).total(parts, sums)
        means = (total / self.weight(batch)).tolist()
        return dict(zip(("loss", *(f"top{k}" for k in ranks)), means, strict=True))

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        last = rows[-1]
        return f"it: {step}  | loss {last['loss']:.4g}  | Δw: {last['delta_w']:.5g}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        text = f"train loss {validation['train_loss']:.4f}"
        return text + (f" | held-out loss {validation['loss']:.4f}" if self.held_out else "")


TASK = MaskedLM
