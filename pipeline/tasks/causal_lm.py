"""Next-token prediction (Radford et al. 2019, "GPT-2", section 2)."""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

import transformer
from pipeline.parameters.causal_lm import CausalLMSection
from pipeline.tasks import reference
from pipeline.tasks.sampled_softmax import sampler, scored_words
from pipeline.tasks.text import Tokens, consecutive_windows, hits
from pipeline.training.task import Batch, Measure, Task, block_weights
from transformer import Transformer

EVALUATION_BATCH = 32


class CausalLM(Task[CausalLMSection]):
    """Predict each token of a sequence from those before it."""

    unit = "tokens"
    final = ("loss", "delta_w")
    headline = ("train_loss", "loss", "perplexity")
    measures: ClassVar = {
        "train_loss": Measure("training", dropout=False, mean_over="tokens"),
        "loss": Measure("validation", dropout=False, mean_over="tokens"),
    }

    def __init__(self, section: CausalLMSection, seed: int, data: Path, device: torch.device):
        super().__init__(section, seed, data, device)
        self.tokens = Tokens(data, device)
        self.units_per_example = self.tokens.length
        self.examples = len(self.tokens.train) // self.tokens.length
        self.steps_per_epoch = max(1, self.examples // self.batch_size)
        self.smoothing = self._smoothing()
        self.sampler = sampler(self.section.objective.sampled_softmax, self.tokens)

    def _smoothing(self) -> Tensor | None:
        """Label smoothing: the part of the target that is spread over the vocabulary, or None.

        Smoothing towards the unigram distribution (Chorowski and Jaitly 2017, section 2.3, and
        Pereyra et al. 2017) makes an uncertain model predict word frequencies.
        """
        share = self.section.objective.label_smoothing
        if share == 0:
            return None
        if self.section.objective.smooth_towards == "unigram":
            distribution = self.tokens.unigram_log_probabilities().exp().float()
        else:
            size = self.tokens.vocabulary_size
            distribution = torch.full((size,), 1 / size, device=self.device)
        return share * distribution

    @staticmethod
    def work(section: CausalLMSection, meta: dict[str, Any]) -> float:
        tokens = section.train.steps * section.train.batch_size * meta["sequence_length"]
        words = scored_words(section.objective.sampled_softmax, meta["vocabulary_size"])
        return 6.0 * (block_weights(section) + section.architecture.d_model * words) * tokens

    def build_model(self) -> Transformer:
        return transformer.gpt(
            self.section.architecture,
            self.tokens.vocabulary_size,
            self.tokens.length,
            tie_embeddings=self.section.model.tie_embeddings,
            generator=self.generator("initialization"),
        )

    def batch(self, step: int) -> Batch:
        order = self.generator("data order", step)
        # One extra token: inputs are all but the last, labels all but the first.
        windows = self.tokens.random_windows(self.batch_size, self.tokens.length + 1, order)
        return {"inputs": windows[:, :-1], "labels": windows[:, 1:]}  # (B, T) both

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        return {"inputs": batch["inputs"]}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        hidden, labels = model.encode(batch["inputs"]), batch["labels"]
        candidates = self.sampler(labels)
        return model.head.loss(hidden, labels, smoothing=self.smoothing, candidates=candidates), {}

    def flops_per_step(self, model: Transformer) -> int:
        """As for all tasks; a sampled softmax counts the candidates of the first step."""
        labels = self.batch(0)["labels"]
        return super().flops_per_step(self.sampler.narrowed(model, labels))

    def gradient_metrics(self, model: Any) -> dict[str, Tensor]:
        return reference.delta_w(model)

    def validate(self, model: Any) -> dict[str, float]:
        loss, accuracy, _ = self._metrics(model, "loss", accuracy=True)
        train_loss, _, _ = self._metrics(model, "train_loss")
        return {"train_loss": train_loss, "loss": loss, "accuracy": accuracy}

    def evaluate(self, model: Any) -> dict[str, float]:
        loss, _, count = self._metrics(model, "loss")
        train_loss, _, train_count = self._metrics(model, "train_loss")
        meta = self.tokens.meta
        bytes_per_token = meta["validation_bytes"] / meta["validation_tokens"]
        unigram = self.tokens.unigram_log_probabilities()
        predicted = self.tokens.validation[1 : count + 1]
        trained = self.tokens.train[1 : train_count + 1]
        return {
            "train_loss": train_loss,
            "loss": loss,
            # A larger loss overflows a float: the model has diverged.
            "perplexity": math.exp(min(loss, 700.0)),
            "bits_per_byte": loss / math.log(2) / bytes_per_token,
            "baseline_loss": -unigram[predicted].mean().item(),
            "baseline_train_loss": -unigram[trained].mean().item(),
        }

    @torch.inference_mode()
    def _metrics(self, model: Any, name: str, accuracy: bool = False) -> tuple[float, float, int]:
        """Mean loss in nats, accuracy and number of tokens over consecutive windows of the split
        that the measure of `name` names.

        accuracy: whether to compute it; else it is 0.
        """
        measure = self.measures[name]
        text = self.tokens.train if measure.split == "training" else self.tokens.validation
        # (n, T + 1): each window begins with the last label of the one before.
        windows = consecutive_windows(text, self.tokens.length + 1, self.tokens.length)
        torch.manual_seed(self.generator("evaluation dropout").initial_seed())
        model.train(measure.dropout)
        parts = windows.split(EVALUATION_BATCH)

        def sums(index: int) -> Tensor:  # (2,)
            logits = model(parts[index][:, :-1]).float().flatten(0, 1)  # (B * T, V)
            labels = parts[index][:, 1:].flatten()  # (B * T,)
            found = torch.zeros(2, dtype=torch.float64, device=self.device)
            found[0] = F.cross_entropy(logits, labels, reduction="sum")
            if accuracy:
                found[1] = hits(logits, labels, (1,))[0]
            return found

        total = self.sharing(measure.dropout).total(len(parts), sums)
        model.eval()
        count = len(windows) * self.tokens.length
        loss, right = (total / count).tolist()
        return loss, right, count

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        return f"step {step:>10} | loss {rows[-1]['loss']:.4f}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        # In the format of the last line in the reference's log.
        return f"train loss {validation['train_loss']:.4f} | val loss {validation['loss']:.4f}"


TASK = CausalLM
