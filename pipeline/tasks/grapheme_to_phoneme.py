"""Grapheme-to-phoneme conversion: from letters to sounds, by an encoder and a decoder
(Vaswani et al. 2017, "Attention Is All You Need"; Yolchuyeva et al. 2019, "Transformer based
Grapheme-to-Phoneme Conversion").
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import transformer
from pipeline.parameters.grapheme_to_phoneme import GraphemeToPhonemeSection
from pipeline.tasks.dictionary import END, Dictionary, Sounds, named
from pipeline.tasks.pronunciations import by_letters, by_suffix, error_rates
from pipeline.training.processes import ONE, Processes
from pipeline.training.task import Batch, Measure, Task, block_weights
from transformer import Hypothesis, TokensAt, Transformer, beam_search

BEAM = 5
EVALUATION_BATCH = 512  # words


class GraphemeToPhoneme(Task[GraphemeToPhonemeSection]):
    """Predict the sounds of a word from its letters.

    An example is a word with one of its pronunciations, and each listed pronunciation is an
    example, counted as a word seen. In the test split, a word is right if the answer equals any of
    its pronunciations.
    """

    unit = "words"
    units_per_example = 1
    headline = ("wer", "per", "loss")
    measures: ClassVar = {
        "loss": Measure("validation", dropout=False, mean_over="sounds and ends"),
        "wer": Measure("test", dropout=False, mean_over="words"),
        "per": Measure("test", dropout=False, mean_over="sounds of the nearest pronunciations"),
    }

    def __init__(
        self, section: GraphemeToPhonemeSection, seed: int, data: Path, device: torch.device
    ):
        super().__init__(section, seed, data, device)
        self.dictionary = Dictionary(data, device)
        self.meta = self.dictionary.meta
        self.examples = self.meta["train_pronunciations"]
        self.steps_per_epoch = -(-self.examples // self.batch_size)
        share = section.objective.label_smoothing
        size = len(self.meta["sounds"]) + 1
        self.smoothing = torch.full((size,), share / size, device=device) if share else None
        self._epoch: tuple[int, list[Tensor]] = (-1, [])

    def examples_seen(self, steps: int) -> int:
        """The number of examples; the smaller batch of each epoch counts as a whole one within it,
        since it may be any of them."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.examples + min(rest * self.batch_size, self.examples)

    @staticmethod
    def work(section: GraphemeToPhonemeSection, meta: dict[str, Any]) -> float:
        encoder, layers = block_weights(section), section.model.decoder_layers
        decoder = layers * (encoder / section.model.n_layer + 4 * section.model.d_model**2)
        letters, sounds = (meta[f"train_{key}"] for key in ("letters", "sounds"))
        epochs = section.train.steps * section.train.batch_size / meta["train_pronunciations"]
        return 6.0 * epochs * (encoder * letters + decoder * sounds)

    def build_model(self) -> Transformer:
        return transformer.encoder_decoder(
            self.section.architecture,
            len(self.meta["letters"]) + 1,
            len(self.meta["sounds"]) + 1,
            self.meta["length"],
            tie_embeddings=self.section.model.tie_embeddings,
            n_decoder_layer=self.section.model.n_decoder_layer,
            generator=self.generator("initialization"),
        )

    def batch(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        return self._examples(self._epoch[1][position])

    def _batches(self, epoch: int) -> list[Tensor]:
        """The examples of each batch of an epoch, in random order.

        A batch has examples of nearly equal length, so that padding costs little: the shuffled
        examples are sorted by their numbers of letters and sounds, then cut into batches.
        """
        random = self.generator("data order", epoch)
        batches = self._by_length(torch.randperm(self.examples, generator=random))
        return [batches[index] for index in torch.randperm(len(batches), generator=random)]

    def _by_length(self, chosen: Tensor) -> Sequence[Tensor]:
        letters, sounds = (sizes.cpu()[chosen] for sizes in self.dictionary.sizes)
        order = (letters * self.meta["length"] + sounds).argsort(stable=True)
        return chosen[order].to(self.device).split(self.batch_size)

    def _examples(self, chosen: Tensor) -> Batch:
        """The batch of the pronunciations `chosen` (B,): source, source_mask (B, S); inputs,
        labels, spoken (B, T), with S letters and T sounds, ends included.

        spoken: False at padding.
        """
        source, source_mask = spelled(self.dictionary.letters[self.dictionary.word[chosen]])
        sizes = self.dictionary.sizes[1][chosen]  # (B,)
        labels = self.dictionary.sounds[chosen, : int(sizes.max())]  # (B, T)
        spoken = torch.arange(labels.shape[1], device=self.device) < sizes[:, None]
        begin = torch.full_like(labels[:, :1], END)  # (B, 1)
        inputs = torch.cat((begin, labels[:, :-1]), dim=1)  # (B, T)
        return {
            "source": source, "source_mask": source_mask, "inputs": inputs, "labels": labels,
            "spoken": spoken,
        }  # fmt: skip

    def weight(self, batch: Batch) -> int:
        return int(batch["spoken"].sum())

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        # The inputs need no mask: padding follows the sounds, so that no sound sees it.
        return {key: batch[key] for key in ("inputs", "source", "source_mask")} | {
            "keep": TokensAt(self._indices(batch))
        }

    def _indices(self, batch: Batch) -> Tensor:
        """Indices of the sounds and ends in the flattened batch: (N,)."""
        return batch["spoken"].flatten().nonzero().squeeze(1)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self._loss(model, batch, self.smoothing), {}

    def _loss(self, model: Any, batch: Batch, smoothing: Tensor | None) -> Tensor:
        inputs = self.model_inputs(batch)
        labels = batch["labels"].flatten()[inputs["keep"].indices]  # (N,)
        return model.head.loss(model.encode(**inputs), labels, smoothing=smoothing)

    def flops_per_step(self, model: Transformer) -> int:
        """Mean over an epoch, for a whole batch: each batch has padding of its own.

        Six for each weight of a matrix and vector that it sees, and 12 * d_model for each query and
        key of attention. A test compares this with `transformer.flops_per_step`, which takes about
        half a second for one shape.
        """
        parts: Any = model
        encoder, decoder, head = map(_weights, (parts.encoder.blocks, parts.blocks, parts.head))
        crossing = sum(_weights(block.cross_attention.kv) for block in parts.blocks)
        # The end of the last block and the head, which see no padding.
        last = parts.blocks[-1]
        kept = _weights(last.cross_attention.out) + _weights(last.mlp)
        shape, total = self.section.model, 0
        for chosen in self._by_length(torch.arange(self.examples)):
            letters, sounds = (sizes[chosen] for sizes in self.dictionary.sizes)  # (B,), with ends
            B, S, T = len(letters), int(letters.max()), int(sounds.max())
            matrices = B * S * (encoder + crossing) + B * T * (decoder - crossing - kept)
            pairs = shape.n_layer * S * S + shape.decoder_layers * (T * T + S * T)
            attention = 12 * B * pairs * shape.d_model
            total += 6 * (matrices + int(sounds.sum()) * (kept + head)) + attention
        return round(total * self.batch_size / self.examples)

    def validate(self, model: Any) -> dict[str, float]:
        return {"loss": self._validation_loss(model)}

    @torch.inference_mode()
    def _validation_loss(self, model: Any) -> float:
        """Mean loss in nats over the sounds and ends of the validation split."""
        letters, sounds = self.dictionary.sizes
        rows = self.dictionary.split("validation")
        chosen = rows[(letters * self.meta["length"] + sounds)[rows].argsort()]
        parts = chosen.split(EVALUATION_BATCH)

        def summed(index: int) -> Tensor:
            batch = self._examples(parts[index])
            return self._loss(model, batch, None).double() * self.weight(batch)

        total = self.processes.total(len(parts), summed)
        return total.item() / int(sounds[rows].sum())

    def answers(self, model: Any, words: Tensor, width: int) -> list[Sounds]:
        """The model's likeliest pronunciation of each word, by beam search.

        words: the rows of `letters` (N,).
        """
        letters = self.dictionary.letters[words]
        found = pronounce(model, letters, self.meta["length"], width, processes=self.processes)
        return [named(best[0].tokens, self.meta["sounds"]) for best in found]

    def evaluate(self, model: Any) -> dict[str, float]:
        given = self.dictionary
        words, right = given.spelling("test"), given.listed("test")
        known = dict(zip(given.spelling("train"), given.listed("train"), strict=True))
        first, count = given.words("test")
        tested = torch.arange(first, first + count)
        beam, greedy = (self.answers(model, tested, width) for width in (BEAM, 1))
        return {
            "loss": self._validation_loss(model),
            "baseline_loss": given.frequency_loss(),
            **error_rates(beam, right),
            **{f"greedy_{key}": value for key, value in error_rates(greedy, right).items()},
            **{
                f"baseline_{how}_{key}": value
                for how, said in (
                    ("letters", by_letters(words, known)),
                    ("suffix", by_suffix(words, known)),
                )
                for key, value in error_rates(said, right).items()
            },
        }

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        loss = sum(row["loss"] for row in rows) / len(rows)
        return f"step {step:>10} | loss {loss:.4f}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        return f"validation loss {validation['loss']:.4f}"


def _weights(part: nn.Module) -> int:
    """The number of weights in the matrices of a part of a model."""
    return sum(each.weight.numel() for each in part.modules() if isinstance(each, nn.Linear))


def spelled(letters: Tensor) -> tuple[Tensor, Tensor]:
    """The encoder's input of words, with their ends, and its mask: both (B, S).

    letters: (B, L), with zeros behind each word.
    """
    sizes = (letters != END).sum(1) + 1
    source = letters[:, : int(sizes.max())]
    return source, torch.arange(source.shape[1], device=letters.device) < sizes[:, None]


def pronounce(
    model: Any,
    letters: Tensor,
    length: int,
    width: int,
    best: int = 1,
    processes: Processes = ONE,
) -> list[list[Hypothesis]]:
    """The `best` pronunciations of each word, the likeliest first; see `beam_search`.

    letters: (B, L), with zeros behind each word. length: the most tokens of the model. processes:
    which share the work.
    """
    order = (letters != END).sum(1).argsort(stable=True)  # little padding
    parts = order.split(EVALUATION_BATCH)

    def search(index: int) -> list[list[Hypothesis]]:
        source, mask = spelled(letters[parts[index]])
        begin = [[END]] * len(source)
        return beam_search(model, begin, length - 1, length, width, best, (END,), source, mask)

    found = [every for part in processes.each(len(parts), search) for every in part]
    return [found[place] for place in order.argsort().tolist()]


TASK = GraphemeToPhoneme
