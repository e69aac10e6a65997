"""Masked language modelling (Devlin et al. 2019, "BERT", section 3.1)."""

from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.objectives.base import Batch, Measure, Objective
from pipeline.objectives.masking import hide
from pipeline.objectives.sampled_softmax import sampler
from pipeline.objectives.text import EXAMPLES, Tokens, consecutive_windows, evenly
from pipeline.params import Masking, Params
from pipeline.training.randomness import fixed_generator
from transformer import Transformer

TRAIN_SEQUENCES = 8192  # of the training text, for evaluations; the held-out text is whole
EVALUATION_BATCH = 256
SAMPLES = 6


class MaskedLanguageModelling(Objective):
    """Predict the masked tokens of a sequence from the others."""

    unit = "tokens"
    legend = "Δw: sum of the absolute gradients of the embedding, before clipping"
    # The reference's result is the loss of a training step, with dropout.
    measures: ClassVar = {
        "train_loss": Measure("training", dropout=True, mean_over="hidden tokens")
    }

    def __init__(self, params: Params, seed: int, data: Path, device: torch.device):
        super().__init__(seed, device, params.bert.train.batch_size)
        self.section = params.bert
        self.architecture = params.architecture("bert")
        self.tokens = Tokens(data, device)
        self.units_per_example = self.tokens.length
        examples = EXAMPLES[self.section.data.examples](self.tokens)
        self.draw, self.examples = examples.draw, examples.count
        self.sampler = sampler(self.section.objective.sampled_softmax, self.tokens)
        # A fixed masking for each text, equal in all evaluations and runs.
        masking = self.section.objective.evaluation_masking
        train = evenly(examples.all(), TRAIN_SEQUENCES)
        self.train = self._hide(train, masking, fixed_generator("train evaluation masking"))
        self.held_out = None
        self.watched, self.headline = "train_loss", ("train_loss",)
        if len(self.tokens.validation):
            held_out = consecutive_windows(self.tokens.validation, self.tokens.length)
            random = fixed_generator("validation masking")
            self.held_out = self._hide(held_out, masking, random)
            self.watched, self.headline = "loss", ("train_loss", "loss", "top1")

    @property
    def model_config(self) -> dict[str, Any]:
        return {
            "kind": "bert",
            "architecture": self.architecture.model_dump(),
            "vocabulary_size": self.tokens.vocabulary_size,
            "length": self.tokens.length,
            "tie_embeddings": self.section.model.tie_embeddings,
            "prediction_transform": self.section.model.prediction_transform,
            "head_bias": self.section.model.head_bias,
        }

    def build_model(self) -> Transformer:
        """Initialize the head's bias, if any, with the unigram distribution, which the model would
        otherwise learn first."""
        model = super().build_model()
        if model.head.decoder.bias is not None:
            with torch.no_grad():
                model.head.decoder.bias.copy_(self.tokens.unigram_log_probabilities())
        return model

    def training_batch(self, step: int) -> Batch:
        sequences = self.draw(step, self.batch_size, self.seed)
        masking = self.section.objective.masking
        return self._hide(sequences, masking, self.generator("masking", step))

    def weight(self, batch: Batch) -> int:
        return int(batch["hidden"].sum())

    def _hide(self, sequences: Tensor, masking: Masking, random: torch.Generator) -> Batch:
        """See `masking.hide`."""
        mask = self.tokens.meta["special"]["mask"]
        return hide(sequences, masking, mask, self.tokens.vocabulary_size, random)

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        return {"inputs": batch["inputs"], "head_inputs": {"indices": self._places(batch)}}

    def _places(self, batch: Batch) -> Tensor:
        """Indices of the masked tokens in the flattened batch: (N,)."""
        return batch["hidden"].flatten().nonzero().squeeze(1).to(self.device, non_blocking=True)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        places = self._places(batch)
        labels = batch["labels"].flatten()[places]
        hidden = model.encode(batch["inputs"])
        candidates = self.sampler(labels)
        return model.head.loss(hidden, labels, indices=places, candidates=candidates), {}

    def flops_per_step(self, model: Transformer) -> int:
        """As for all tasks; a sampled softmax counts the candidates of the first step."""
        batch = self.training_batch(0)
        labels = batch["labels"].flatten()[self._places(batch)]
        return super().flops_per_step(self.sampler.narrowed(model, labels))

    def validate(self, model: Any) -> dict[str, float]:
        figures = {"train_loss": self._train_loss(model)}
        if self.held_out:
            held_out = self._figures(model, self.held_out)
            figures |= {key: held_out[key] for key in ("loss", "top1")}
        return figures

    def evaluate(self, model: Any) -> dict[str, float]:
        figures = {
            "train_loss": self._train_loss(model),
            "baseline_train_loss": self._baseline(self.train),
        }
        if self.held_out:
            figures |= self._figures(model, self.held_out)
            figures["baseline_loss"] = self._baseline(self.held_out)
        return figures

    def _train_loss(self, model: Any) -> float:
        torch.manual_seed(self.generator("train evaluation dropout").initial_seed())
        model.train(self.measures["train_loss"].dropout)
        loss = self._figures(model, self.train)["loss"]
        model.eval()
        return loss

    def _baseline(self, masked: Batch) -> float:
        """The loss of predicting only token frequencies."""
        labels = masked["labels"].flatten()[self._places(masked)]
        return -self.tokens.unigram_log_probabilities()[labels].mean().item()

    @torch.inference_mode()
    def _figures(self, model: Any, masked: Batch) -> dict[str, float]:
        """Loss in nats, and top-1 and top-5 accuracy over the masked tokens."""
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for start in range(0, len(masked["inputs"]), EVALUATION_BATCH):
            batch = {k: v[start : start + EVALUATION_BATCH] for k, v in masked.items()}
            inputs = self.model_inputs(batch)
            logits = model(**inputs).float()
            labels = batch["labels"].flatten()[inputs["head_inputs"]["indices"]]
            hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            loss = F.cross_entropy(logits, labels, reduction="sum")
            sums += torch.stack((loss, hits[:, 0].sum(), hits.sum()))
        loss, top1, top5 = (sums / self.weight(masked)).tolist()
        return {"loss": loss, "top1": top1, "top5": top5}

    @torch.inference_mode()
    def samples(self, model: Any) -> list[dict[str, Any]]:
        """Sequences with masked words (held-out ones if there are any), and the five most likely
        words for each."""
        masked = self.held_out or self.train
        chosen = evenly(torch.arange(len(masked["inputs"])), SAMPLES)
        word = self.tokens.tokenizer.id_to_token
        mask = self.tokens.meta["special"]["mask"]
        shown = []
        for sequence, hidden in zip(
            masked["labels"][chosen].tolist(), masked["hidden"][chosen].tolist(), strict=True
        ):
            places = [place for place, each in enumerate(hidden) if each]
            line = [mask if place in places else token for place, token in enumerate(sequence)]
            scores = model(torch.tensor([line], device=self.device)).float()[0, places]
            best = scores.softmax(-1).topk(min(5, scores.shape[1]))
            shown.append(
                {
                    "masked": " ".join(map(word, line)),
                    "answer": [word(sequence[place]) for place in places],
                    "predictions": [
                        [[word(token), round(p, 4)] for token, p in zip(*each, strict=True)]
                        for each in zip(best.indices.tolist(), best.values.tolist(), strict=True)
                    ],
                }
            )
        return shown

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        last = rows[-1]
        return f"it: {step}  | loss {last['loss']:.4g}  | Δw: {last['delta_w']:.5g}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        text = f"train loss {validation['train_loss']:.4f}"
        return text + (f" | held-out loss {validation['loss']:.4f}" if self.held_out else "")
